"""Who takes part in the benchmarks, each behind the same interface, `Contestant`."""

import importlib
import importlib.util
import time
from dataclasses import dataclass, field

import numpy as np

from tfae.config import ENGINES, PRECISIONS, TrainConfig
from tfae.errors import TfaeError


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        loss: The mean training loss.
        epoch_s: Seconds of training, the feed included, validation not.
        val_loss: The mean validation loss after it, or None.
    """

    loss: float
    epoch_s: float
    val_loss: float | None = None


class Contestant:
    """Trains a stack with its own means.

    Those that benchmarks compare epoch by epoch, Keras and tfae, also have `weights()`, what
    `reset` takes, `evaluate()`, the mean validation loss, and `train(epochs, validate=True)`.

    Args:
        config: A `tfae.config.TrainConfig`, of which it takes layers, optimizer, learning rate,
            batch size and precision. Hidden layers are relu, the output is a sigmoid under binary
            cross-entropy.
        train: [N, D] bytes.
        validation: [M, D] bytes.
    """

    def __init__(self, config, train, validation):
        self._config = config
        self._row_count = len(train)
        self._rng = np.random.default_rng(config.seed)

    def reset(self, weights):
        """Begin anew from these arrays, kernel and bias of each layer in turn."""
        raise NotImplementedError

    def train_in_order(self, order):
        """One epoch, or a part of one, in this order.

        Returns:
            The mean over the rows of the loss that each had before its batch's update, which is
            the loss that Keras reports.
        """
        raise NotImplementedError

    def train(self, epochs):
        """Whole epochs in orders of its own, fed the way its users would.

        Returns:
            An `Epoch` for each.
        """
        done = []
        for _ in range(epochs):
            begin = time.perf_counter()
            loss = self.train_in_order(self._rng.permutation(self._row_count))
            done.append(Epoch(loss, time.perf_counter() - begin))
        return done

    def reconstruct(self):
        """The training rows rebuilt, [N, D] floats on the host, or None where that is not timed."""
        return

    def timed_reconstruction(self):
        """(seconds of rebuilding the training rows, mean of some), or None where it cannot."""
        begin = time.perf_counter()
        rebuilt = self.reconstruct()
        seconds = time.perf_counter() - begin
        return None if rebuilt is None else (seconds, float(np.mean(rebuilt[:1000], dtype=float)))

    def note(self):
        """What it chose for itself, for a person."""
        return ""

    def parts_s(self):
        """Seconds an epoch of its parts, by name."""
        return {}


@dataclass(frozen=True)
class Entry:
    """A contestant's place on the list.

    Attributes:
        name: For a person, and for --only.
        engine: What runs its epochs, in a word.
        make: "module:Class", where the class is.
        needs: The package that it runs on.
        precision: Of the products.
        options: Further arguments of the class.
    """

    name: str
    engine: str
    make: str
    needs: str = "tensorflow"
    precision: str = "float32"
    options: dict = field(default_factory=dict)

    def absence(self):
        """Why it cannot take part on this machine, or None."""
        if importlib.util.find_spec(self.needs) is None:
            return f"{self.needs} is not installed; pip install -e '.[peers]' brings it"
        if self.make == OURS:
            return engine_absence(self.engine, self.precision)
        return None

    def build(self, config, train, validation):
        """The contestant."""
        module, name = self.make.split(":")
        make = getattr(importlib.import_module(module), name)
        return make(config, train, validation, **self.options)


def engine_absence(engine, precision):
    """Why an engine of tfae's cannot run in this precision on this machine, or None."""
    from tfae.engines import make_engine
    from tfae.nn.network import Network, initial_params
    from tfae.nn.spec import Stack

    config, stack = TrainConfig(engine=engine, precision=precision), Stack.mirrored(1, (1,))
    try:
        make_engine(config, Network(stack, initial_params(stack)), 1)
    except TfaeError as error:
        return str(error)
    return None


_HERE = "benchmarks.contestants"
OURS = f"{_HERE}.ours:Tfae"
ENTRIES = (
    Entry("Keras fit, as the tutorial has it", "fit", f"{_HERE}.keras_fit:KerasFit"),
    Entry("Keras fit at its best", "fit", f"{_HERE}.keras_fit:KerasAtItsBest"),
    *(
        Entry(
            f"Keras fit at its best, {precision}",
            "fit",
            f"{_HERE}.keras_fit:KerasAtItsBest",
            precision=precision,
        )
        for precision in ("mixed_bfloat16", "mixed_float16")
    ),
    Entry("TensorFlow, a tf.function step", "tf.function", f"{_HERE}.tf_loop:TfLoop"),
    Entry("PyTorch, eager", "eager", f"{_HERE}.pytorch:PyTorch", "torch"),
    Entry(
        "PyTorch, torch.compile",
        "torch.compile",
        f"{_HERE}.pytorch:PyTorch",
        "torch",
        options={"compiled": True},
    ),
    Entry("JAX, lax.scan", "lax.scan", f"{_HERE}.jax_scan:JaxScan", "jax"),
    *(
        Entry(
            f"tfae, {engine}, {precision}",
            engine,
            OURS,
            precision=precision,
            options={"engine": engine},
        )
        for engine in ENGINES[1:]  # the first one is auto
        for precision in PRECISIONS
    ),
    Entry(
        "tfae, fused, float32, one thread",
        "fused",
        OURS,
        options={"engine": "fused", "threads": 1},
    ),
    Entry("tfae.fit of the Keras model", "auto", f"{_HERE}.keras_fit:TfaeFit"),
)
