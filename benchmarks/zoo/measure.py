"""A set-up by `model.fit` as published and at its best settings, and by `tfae.fit`."""

import functools
import gc
import statistics
import time

import keras
import numpy as np

import tfae
from benchmarks import harness

EPOCHS = 4  # of a whole call
EXACT = 1e-5  # how far a loss may be from Keras' where nothing is drawn
NOISE = 0.97  # what a ratio of times may be below 1
LONGEST_S = 8.0  # of a call by fit, from where rows are left out
BEST = ({"jit_compile": False}, {"jit_compile": True})


class Clock(keras.callbacks.Callback):
    """Notes the time at the end of every epoch, and stops the training after some."""

    def __init__(self, epochs=None, longest_s=np.inf):
        super().__init__()
        self.times, self._epochs, self._longest_s = [time.perf_counter()], epochs, longest_s

    def on_epoch_end(self, epoch, logs=None):
        """As Keras calls it."""
        self.times.append(time.perf_counter())
        took = self.times[-1] - self.times[0]
        if len(self.times) > (self._epochs or np.inf) or took > self._longest_s:
            self.model.stop_training = True

    def seconds(self):
        """(until the first epoch's end, the median of the later ones)"""
        first, *later = np.diff(self.times).tolist()
        return first, statistics.median(later) if later else first


def made(set_up, seed=0, **compile_options):
    """The model, with weights that follow from the seed."""
    keras.utils.set_random_seed(seed)
    model = set_up.build()
    for name, value in compile_options.items():
        setattr(model, name, value)
    return model


def called(set_up, way, data, epochs, clock, seed=0, **options):
    """(History, seconds) of a call."""
    by_tfae = way == "tfae"
    compile_options = way if isinstance(way, dict) else {}
    model = made(set_up, seed, **compile_options)
    fit = functools.partial(tfae.fit, model) if by_tfae else model.fit
    arguments = {**set_up.arguments(data), **options, "epochs": epochs}
    arguments["callbacks"] = [*arguments.get("callbacks", ()), clock]
    history, seconds = harness.timed(fit, **arguments)
    del model, fit
    gc.collect()
    return history, seconds


def gap(history, expected):
    """The largest relative difference of any epoch's loss or metric."""
    return max(
        abs(ours - theirs) / max(abs(theirs), 1e-12)
        for name, values in expected.items()
        for ours, theirs in zip(history.get(name, [np.inf] * len(values)), values, strict=True)
    )


def rows_for(set_up, most_rows):
    """So many rows that an epoch of `fit` does not take too long."""
    rows = min(set_up.rows, most_rows)
    probe = min(rows, 40 * (set_up.batch_size or 128))
    clock = Clock()
    called(set_up, "fit", set_up.data(probe), 2, clock)
    a_row = clock.seconds()[1] / probe
    batch_size = set_up.batch_size or 1024
    fewest = min(rows, 4 * batch_size)
    return int(np.clip(LONGEST_S / EPOCHS / a_row // batch_size * batch_size, fewest, rows))


def measured(set_up, most_rows, turns, best=True, published=True):
    """The result of a set-up, as JSON can hold it."""
    result = {"name": set_up.name, "source": set_up.source, "drawn": set_up.drawn}
    result |= {"published_rows": set_up.rows, "batch_size": set_up.batch_size}
    result["rows"] = rows_for(set_up, most_rows)
    data = set_up.data(result["rows"])
    ways = {"fit": "fit", "tfae": "tfae"}
    if best:
        ways |= {f"best_{at}": {**of, "steps_per_execution": 50} for at, of in enumerate(BEST)}
    calls, epochs_s, firsts = {way: [] for way in ways}, {way: [] for way in ways}, {}
    of_published = {way: [] for way in ("fit", "tfae")}
    histories = {}
    in_order = {} if "shuffle" in set_up.options else {"shuffle": False}
    for _ in range(turns):
        for name, way in ways.items():
            clock = Clock()
            try:
                history, seconds = called(set_up, way, data, EPOCHS, clock, **in_order)
            except Exception as error:
                result[f"{name}_error"] = str(error).splitlines()[0][:200]
                continue
            calls[name].append(seconds)
            epochs_s[name].append(clock.seconds()[1])
            histories[name] = history
            if name in of_published and published:
                clock = Clock(3, 20.0)
                called(set_up, way, data, set_up.epochs, clock)
                of_published[name].append(clock.seconds())
                firsts[name] = True
    result["seconds"] = {
        name: {"call": calls[name], "epoch": epochs_s[name]} for name in ways if calls[name]
    }
    if "tfae_error" in result:
        return result | {"way": "refused", "reason": result["tfae_error"]}
    params = histories["tfae"].params
    result |= {"way": params["engine"], "reason": params["reason"]}
    result["gap"] = gap(histories["tfae"].history, histories["fit"].history)
    if best and "best_1" in histories:
        result["keras_gap"] = gap(histories["best_1"].history, histories["fit"].history)
    return result | ratios(set_up, result, calls, epochs_s, of_published)


def ratios(set_up, result, calls, epochs_s, of_published):
    """Of `fit`'s seconds over those of `tfae.fit`: an epoch, a call, the published fit, at best."""
    found = {"call": statistics.median(calls["fit"]) / statistics.median(calls["tfae"])}
    if of_published["fit"]:
        times = set_up.rows / result["rows"]
        whole, epoch = (
            [
                statistics.median(of(first, later) for first, later in of_published[name])
                for name in ("fit", "tfae")
            ]
            for of in (
                lambda first, later: first - later + set_up.epochs * later * times,
                lambda first, later: later,
            )
        )
        found |= {"epoch": epoch[0] / epoch[1], "published": whole[0] / whole[1]}
    else:
        found["epoch"] = statistics.median(epochs_s["fit"]) / statistics.median(epochs_s["tfae"])
    at_best = [
        statistics.median(epochs_s[name])
        for name in epochs_s
        if name[:4] == "best" and epochs_s[name]
    ]
    if at_best:
        fastest = min(at_best + [statistics.median(epochs_s["fit"])])
        found["best"] = fastest / statistics.median(epochs_s["tfae"])
    return {"ratios": found}


def drawn(set_up, most_rows, seeds):
    """The last losses of some seeds by each, where numbers are drawn."""
    rows = rows_for(set_up, most_rows)
    data = set_up.data(rows)
    losses = {
        way: [
            called(set_up, way, data, EPOCHS, Clock(), seed)[0].history["loss"][-1]
            for seed in range(seeds)
        ]
        for way in ("fit", "tfae")
    }
    error = np.hypot(*(np.std(values, ddof=1) / np.sqrt(seeds) for values in losses.values()))
    difference = abs(np.mean(losses["tfae"]) - np.mean(losses["fit"]))
    return {"name": set_up.name, "losses": losses, "standard_errors": float(difference / error)}
