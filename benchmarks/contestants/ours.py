"""tfae's own engines, fed as a run feeds them."""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of
from tfae.data.feed import Feed
from tfae.engines import make_engine
from tfae.model import Autoencoder


class Tfae(Contestant):
    """An engine and its feed.

    Args:
        engine: "xla" or "auto", as `--engine` has it; None for what the configuration says.
    """

    def __init__(self, config, train, validation, engine=None):
        if engine:
            config = dataclasses.replace(config, engine=engine)
        self._config = config
        self._model = Autoencoder(stack_of(config, train.shape[1]))
        self.engine, self._reason = self.make_engine(config, self._model, len(train))
        self._feed = Feed(train, config.seed, config.batch_size)
        self._validation = tf.constant(validation)
        self._fresh = self.engine.state.read()
        self._epoch = 0  # goes on after a reset: seeds have orders of their own

    def make_engine(self, config, model, row_count):
        """The engine and why it was taken."""
        return make_engine(config, model, row_count)

    def reset(self, weights):
        weights = list(weights)
        for layer in range(1, len(weights) - 1, 2):  # hidden biases
            weights[layer] = weights[layer] + np.float32(self._config.initial_bias)
        self.engine.state.write(self._fresh._replace(params=weights))

    def weights(self):
        """Kernel and bias of each layer as arrays."""
        return [param.numpy() for param in self.engine.state.params]

    def train_in_order(self, order):
        return float(self.engine.train_epoch(self._feed.rows, tf.constant(order, tf.int32)))

    def evaluate(self):
        """The mean validation loss."""
        return float(self.engine.evaluate(self._validation))

    def train(self, epochs, validate=False):
        """Epochs as `tfae.trainer` runs them."""
        done = []
        elements = iter(self._feed.epochs(self._epoch + 1, self._epoch + epochs))
        for _ in range(epochs):
            begin = time.perf_counter()
            loss = float(self.engine.train_epoch(*next(elements)))
            epoch_s = time.perf_counter() - begin
            done.append(Epoch(loss, epoch_s, self.evaluate() if validate else None))
        self._epoch += epochs
        return done

    def note(self):
        """Which engine it is, where it chose one."""
        return f"{self.engine.name}: {self._reason}"

    def parts_s(self):
        """Seconds an epoch of the feed alone, and of the compiled call alone."""
        begin = time.perf_counter()
        for _, order in self._feed.epochs(1, 4):
            last = order
        feed_s = (time.perf_counter() - begin) / 4
        state = self.engine.state.read()
        begin = time.perf_counter()
        float(self.engine.train_epoch(self._feed.rows, last))
        compute_s = time.perf_counter() - begin
        self.engine.state.write(state)
        return {"feed_s": feed_s, "compute_s": compute_s}
