"""One set-up by `model.fit` and by `tfae.fit`: seconds, losses, and how far they are apart."""

import functools
import gc
import math
import statistics
import time
from typing import NamedTuple

import keras
import numpy as np

import tfae
from benchmarks import harness

EPOCHS = 4  # of a whole call
PUBLISHED_EPOCHS = 3  # so many of the published fit are run
MOST_S = 8.0  # that so many epochs should take by `model.fit`
PATIENCE_S = 20.0  # after which the published fit ends with fewer
PUBLISHED_TIMES = 3  # so many times the rows of a whole call, at the most
PROBE_STEPS = 16
STEPS_PER_EXECUTION = 50
# By what they are called: `jit_compile` of `model.fit` at its best.
BEST = {"best": False, "best, compiled": True}


class Clock(keras.callbacks.Callback):
    """Notes the time at the end of every epoch, and may end the training.

    Args:
        epochs: After so many, or after two and `PATIENCE_S`; never by default.
    """

    def __init__(self, epochs=math.inf):
        super().__init__()
        self.ends, self._epochs = [time.perf_counter()], epochs

    def on_epoch_end(self, epoch, logs=None):
        """As Keras calls it."""
        self.ends.append(time.perf_counter())
        done, spent_s = len(self.ends) - 1, self.ends[-1] - self.ends[0]
        if done >= self._epochs or (done > 1 and spent_s > PATIENCE_S < self._epochs < math.inf):
            self.model.stop_training = True


class Trained(NamedTuple):
    """One call of `fit`.

    Attributes:
        call_s: Of all of it.
        first_s, later_s: Until the first epoch's end, and each epoch after it.
        history: By name, a value for each epoch.
        params: Of the `History`.
    """

    call_s: float
    first_s: float
    later_s: list
    history: dict
    params: dict

    @property
    def epoch_s(self):
        """The median of those after the first, or that one where there is no other."""
        return statistics.median(self.later_s or [self.first_s])


def trained(set_up, contestant, given, *, seed=0, clock=None, **options):
    """A `Trained` of a new model.

    Args:
        contestant: "fit", "tfae" or one of `BEST`.
        given: What the set-up's `data` made.
        clock: By default one that ends nothing.
        **options: Of `fit`, in the place of the published ones.
    """
    model = set_up.model(seed)
    if contestant in BEST:
        # As compile() would have set them; nothing is traced yet.
        model.jit_compile = BEST[contestant]
        model.steps_per_execution = STEPS_PER_EXECUTION
    fit = functools.partial(tfae.fit, model) if contestant == "tfae" else model.fit
    arguments = set_up.arguments(given)
    clock = clock or Clock()
    arguments |= {"callbacks": [*arguments.get("callbacks", []), clock], "verbose": 0, **options}
    gc.collect()
    clock.ends = [time.perf_counter()]
    history, call_s = harness.timed(fit, **arguments)
    first_s, *later_s = np.diff(clock.ends).tolist()
    values = {name: [float(v) for v in each] for name, each in history.history.items()}
    return Trained(call_s, first_s, later_s, values, dict(history.params))


def whole_call(set_up, contestant, given, seed=0):
    """A `Trained` of a few epochs in the rows' own order."""
    return trained(set_up, contestant, given, seed=seed, epochs=EPOCHS, shuffle=False)


def published_fit(set_up, contestant, given):
    """A `Trained` of the first epochs of the fit that was published."""
    clock = Clock(PUBLISHED_EPOCHS)
    return trained(set_up, contestant, given, clock=clock, epochs=set_up.epochs)


def published_s(set_up, run, rows):
    """Seconds that all epochs on all rows take, from the first epochs on some."""
    once_s = run.first_s - run.epoch_s
    return max(once_s, 0) + set_up.epochs * run.epoch_s * set_up.rows / rows


def affordable_rows(set_up, images, most):
    """So many rows that a few epochs by `model.fit` end in time: whole batches, or all."""
    probe = min(set_up.rows, most, PROBE_STEPS * set_up.batch_size)
    if probe == min(set_up.rows, most):
        return probe
    run = trained(set_up, "fit", set_up.data(probe, images), epochs=3, shuffle=False)
    affordable = int(MOST_S / EPOCHS / min(run.later_s) * probe)
    if affordable >= min(set_up.rows, most):
        return min(set_up.rows, most)
    return max(affordable // set_up.batch_size, 1) * set_up.batch_size


def warm_up():
    """Do what only a process' first training waits for, such as building the kernels."""
    rows = np.random.default_rng(0).random((64, 8), np.float32)
    for contestant in ("fit", "tfae"):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
        model.compile("adam", "mse")
        fit = model.fit if contestant == "fit" else functools.partial(tfae.fit, model)
        fit(rows, rows, verbose=0)


def measured(set_up, images, turns, most_rows, contestants=("fit", "tfae", *BEST)):
    """The result of one set-up, as JSON can hold it.

    Args:
        images: A function that gives images [N, 784] uint8.
        turns: How often each contestant trains, one after the other.
        most_rows: In a whole call.
        contestants: In the order in which they train; "fit" and "tfae" must be there.
    """
    most = affordable_rows(set_up, images, most_rows * PUBLISHED_TIMES)
    sizes = {"call": min(most, most_rows), "published": most}
    given = {name: set_up.data(rows, images) for name, rows in sizes.items()}
    result = describe(set_up) | {"rows": sizes["call"], "published_rows": most}
    calls, fits, skipped = {}, {}, {}
    for _ in range(turns):
        for contestant in contestants:
            if contestant in skipped:
                continue
            try:
                call = whole_call(set_up, contestant, given["call"])
                calls.setdefault(contestant, []).append(call)
                if contestant not in BEST:
                    run = published_fit(set_up, contestant, given["published"])
                    fits.setdefault(contestant, []).append(run)
            except Exception as error:
                if contestant == "fit":
                    raise
                skipped[contestant] = _one_line(error)
                if contestant == "tfae":
                    return result | {"way": "refused", "reason": skipped["tfae"]}
    result |= {"way": calls["tfae"][0].params["engine"]}
    result["reason"] = str(calls["tfae"][0].params["reason"])
    return result | _compared(set_up, calls, fits, most) | {"skipped": skipped}


def describe(set_up):
    """What is known of it before anything is measured."""
    words = {name: getattr(set_up, name) for name in ("name", "kind", "what", "source", "drawn")}
    numbers = {name: getattr(set_up, name) for name in ("rows", "epochs", "batch_size")}
    return {**words, "published": numbers}


def _compared(set_up, calls, fits, rows):
    """Seconds, ratios and gaps of the runs of every contestant."""
    seconds = {
        name: {
            "call_s": harness.spread([run.call_s for run in runs]),
            "call_epoch_s": harness.spread([run.epoch_s for run in runs]),
        }
        for name, runs in calls.items()
    }
    for name, runs in fits.items():
        alone = any(not run.later_s for run in runs)
        epochs = [run.epoch_s for run in (calls[name] if alone else runs)]
        whole = [published_s(set_up, run, rows) for run in runs]
        seconds[name]["epoch_s"] = harness.spread(epochs)
        seconds[name]["published_s"] = harness.spread(whole)
    ratios = {
        name: seconds["fit"][key]["median"] / seconds["tfae"][key]["median"]
        for name, key in (("epoch", "epoch_s"), ("call", "call_s"), ("published", "published_s"))
    }
    compared = {"seconds": seconds, "ratios": ratios, "best": None, "keras_gap": None}
    compared["gap"] = gap(calls["fit"][0].history, calls["tfae"][0].history)
    epochs = {name: seconds[name]["call_epoch_s"]["median"] for name in BEST if name in calls}
    if epochs:
        compiled = BEST[min(epochs, key=epochs.get)]
        compared["best"] = {"jit_compile": compiled, "steps_per_execution": STEPS_PER_EXECUTION}
        ratios["best"] = min(epochs.values()) / seconds["tfae"]["call_epoch_s"]["median"]
    if "best, compiled" in calls:
        compared["keras_gap"] = gap(calls["fit"][0].history, calls["best, compiled"][0].history)
    return compared


def gap(theirs, ours):
    """The largest relative difference of any epoch's value; 1 where only one has the name."""
    if theirs.keys() != ours.keys():
        return 1.0
    return max((_gap(theirs[name], ours[name]) for name in theirs), default=0.0)


def _gap(theirs, ours):
    if len(theirs) != len(ours):
        return 1.0
    theirs, ours = np.array(theirs), np.array(ours)
    size = np.maximum(np.maximum(np.abs(theirs), np.abs(ours)), np.finfo(np.float32).tiny)
    apart = np.where(theirs == ours, 0.0, np.abs(theirs - ours) / size)
    apart[np.isnan(theirs) & np.isnan(ours)] = 0.0
    return float(np.nan_to_num(apart, nan=1.0, posinf=1.0).max())


def _one_line(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
