"""Keras' own step by `model.fit`, as a graph and compiled by XLA: what each way costs.

Models as people publish them, which tfae's engines do not take. Each way is timed on a new model:
until the end of its first epoch, and the median of those after it. From that follows after how many
steps XLA has saved more than it took to compile, which `tfae.keras_bridge.costs` estimates
before anything is trained.
"""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks import harness
from tfae.host.startup import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
from keras import layers  # noqa: E402

import tfae  # noqa: E402
from tfae.keras_bridge import costs, steps  # noqa: E402

WAYS = ("fit", "graph", "xla")


@dataclasses.dataclass(frozen=True)
class SetUp:
    """A model and how it is trained.

    Attributes:
        build: A function that makes the layers but for the input.
        features, rows, batch_size: D, N, B.
        loss, optimizer: By Keras' names.
    """

    build: Callable
    features: int
    rows: int
    batch_size: int
    loss: str = "mse"
    optimizer: str = "adam"

    def model(self):
        """A new one, compiled, with weights that follow from a seed."""
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((self.features,)), *self.build()])
        model.compile(self.optimizer, self.loss, metrics=["mae"])
        return model


def _dense(*widths, last="sigmoid"):
    hidden = [layers.Dense(width, "relu") for width in widths[:-1]]
    return [*hidden, layers.Dense(widths[-1], last)]


def _normalised(*widths):
    for width in widths[:-1]:
        yield from (layers.Dense(width), layers.BatchNormalization(), layers.LeakyReLU())
        yield layers.Dropout(0.2)
    yield layers.Dense(widths[-1])


SET_UPS = {
    "a table of 4 columns": SetUp(
        lambda: [layers.Dense(3), layers.LeakyReLU(), layers.Dense(4)], 4, 790, 10
    ),
    "ECG": SetUp(lambda: _dense(32, 16, 8, 16, 32, 140), 140, 2359, 512, "mae"),
    "a noisy table": SetUp(
        lambda: [layers.GaussianNoise(0.1), *_dense(128, 64, 32, 64, 128, 64)], 64, 3840, 32
    ),
    "normalised and dropped": SetUp(
        lambda: _normalised(512, 256, 128, 64, 128, 256, 512, 60), 60, 832, 64, "mse", "adamw"
    ),
    "images in small batches": SetUp(
        lambda: _dense(100, 30, 100, 784), 784, 3840, 32, "mse", "nadam"
    ),
    "wide, with dropout": SetUp(
        lambda: [layers.Dense(1000, "relu"), layers.Dropout(0.3), layers.Dense(784, "sigmoid")],
        *(784, 10_240, 128, "binary_crossentropy"),
    ),
}


class Clock(keras.callbacks.Callback):
    """Notes the time at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.ends = [time.perf_counter()]

    def on_epoch_end(self, epoch, logs=None):
        """As Keras calls it."""
        self.ends.append(time.perf_counter())


def timed_way(set_up, way, epochs):
    """(seconds until the first epoch's end, seconds of each later epoch) of a new model."""
    model, rows = set_up.model(), np.random.default_rng(0).random((set_up.rows, set_up.features))
    rows = rows.astype(np.float32)
    fit = model.fit if way == "fit" else functools.partial(tfae.fit, model, engine="xla")
    clock = Clock()
    options = {"batch_size": set_up.batch_size, "epochs": 1 + epochs, "verbose": 0}
    with mock.patch.object(steps, "is_worth_compiling", return_value=way == "xla"):
        fit(rows, rows, callbacks=[clock], **options)
    first_s, *later = np.diff(clock.ends).tolist()
    return first_s, later


def measured(name, set_up, epochs):
    """The result of one set-up, and what the cost model says of it."""
    variables = set_up.model().trainable_variables
    steps = -(-set_up.rows // set_up.batch_size)
    result = {"name": name, "rows": set_up.rows, "batch_size": set_up.batch_size}
    result |= {"steps_an_epoch": steps, "variables": len(variables)}
    result["parameters"] = sum(int(np.prod(variable.shape)) for variable in variables)
    for way in WAYS:
        first_s, later = timed_way(set_up, way, epochs)
        epoch_s = statistics.median(later)
        result[way] = {"first_epoch_s": first_s, "epoch_s": harness.spread(later)}
        result[way] |= {"once_s": first_s - epoch_s, "step_s": epoch_s / steps}
    saved_s = result["graph"]["step_s"] - result["xla"]["step_s"]
    result["compile_s"] = result["xla"]["once_s"] - result["graph"]["once_s"]
    result["saved_s_a_step"] = saved_s
    result["worth_it_after_steps"] = result["compile_s"] / saved_s if saved_s > 0 else None
    size = set_up.rows, set_up.batch_size
    result["expected_after_steps"] = costs.steps_until_worth_it(variables, *size)
    return result


def main(argv=None):
    """Run the benchmark."""
    parser = harness.make_parser("ways", __doc__, rows=False)
    parser.add_argument("--epochs", type=harness.positive, default=7, help="of each (default: 7)")
    options = harness.parse(parser, argv, epochs=2)
    results = [measured(name, set_up, options.epochs) for name, set_up in SET_UPS.items()]
    harness.print_table(
        [
            "",
            *(f"{way}: {what}" for way in WAYS for what in ("first", "step")),
            "XLA pays",
            "model",
        ],
        [
            [
                result["name"],
                *(
                    cell
                    for way in WAYS
                    for cell in (
                        f"{result[way]['first_epoch_s']:.2f} s",
                        f"{result[way]['step_s'] * 1e3:.2f} ms",
                    )
                ),
                f"{result['worth_it_after_steps'] or np.inf:,.0f}",
                f"{result['expected_after_steps']:,.0f}",
            ]
            for result in results
        ],
    )
    work = {"rows": "uniform random numbers", "epochs": options.epochs}
    harness.write_json(options, work, results)


if __name__ == "__main__":
    harness.run(main)
