"""tfae's own engines, fed as a run feeds them."""

import dataclasses
import statistics
import time

import numpy as np
import tensorflow as tf

from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of, timed
from tfae.autoencoder import Autoencoder
from tfae.data.feed import Feed
from tfae.engines import make_engine


class Tfae(Contestant):
    """An engine and its feed.

    Args:
        engine: As `--engine` has it; None for what the configuration says.
        threads: TensorFlow's intra-op setting, which is the whole process'; None leaves it.
    """

    def __init__(self, config, train, validation, engine=None, threads=None):
        if engine:
            config = dataclasses.replace(config, engine=engine)
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        super().__init__(config, train, validation)
        self._model = Autoencoder(stack_of(config, train.shape[1]))
        self.engine, self._reason = self.make_engine(config, self._model.network, len(train))
        self._rows = train
        self._feed = Feed(train, config.seed, config.batch_size)
        self._validation = tf.constant(validation)
        self._fresh = self.engine.state.read()
        self._epoch = 0  # goes on after a reset: seeds have orders of their own

    def make_engine(self, config, network, row_count):
        """The engine and why it was taken."""
        return make_engine(config, network, row_count)

    def reset(self, weights):
        self.engine.state.write(self._fresh._replace(params=weights))

    def weights(self):
        """Kernel and bias of each layer as arrays."""
        return [param.numpy() for param in self.engine.state.params]

    def train_in_order(self, order):
        return float(self.engine.train_epoch(self._feed.rows, tf.constant(order, tf.int32)))

    def evaluate(self):
        """The mean validation loss."""
        return float(self.engine.evaluate(self._validation))

    def reconstruct(self):
        return np.asarray(memoryview(self._model.reconstruct(self._rows)))

    def train(self, epochs, validate=False):
        """Epochs as `tfae.training.trainer` runs them."""
        done, begin = [], time.perf_counter()
        for rows, order in self._feed.epochs(self._epoch + 1, self._epoch + epochs):
            loss = float(self.engine.train_epoch(rows, order))
            epoch_s = time.perf_counter() - begin
            done.append(Epoch(loss, epoch_s, self.evaluate() if validate else None))
            begin = time.perf_counter()
        self._epoch += epochs
        return done

    def note(self):
        """Which engine it is, where it chose one."""
        return f"{self.engine.name}, {self._reason}" if self._config.engine == "auto" else ""

    def parts_s(self):
        """Seconds an epoch of the feed alone, and of the compiled call alone."""
        elements, feed_s = timed(lambda: list(self._feed.epochs(1, 3)))
        state = self.engine.state.read()
        compute_s = [timed(lambda e: float(self.engine.train_epoch(*e)), e)[1] for e in elements]
        self.engine.state.write(state)
        return {"feed_s": feed_s / 3, "compute_s": statistics.median(compute_s)}
