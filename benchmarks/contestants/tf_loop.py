"""The training loop of TensorFlow's guides: a compiled step, and a Python loop over the steps."""

import time

import numpy as np
import tensorflow as tf

from benchmarks import keras_model
from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of


class TfLoop(Contestant):
    """A Keras model and optimizer, a jit-compiled tf.function a step, rows resident as floats."""

    def __init__(self, config, train, validation):
        self._config = config
        self._rows = tf.constant(train / np.float32(255))
        widths = stack_of(config, train.shape[1]).widths
        self._model = keras_model.build(widths, config.optimizer, config.learning_rate)
        self._optimizer = self._model.optimizer
        self._optimizer.build(self._model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        self._rng = np.random.default_rng(config.seed)

    def reset(self, weights):
        self._model.set_weights(weights)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    @tf.function(jit_compile=True)
    def _step(self, index):
        rows = tf.gather(self._rows, index)
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(rows, rows, self._model(rows, training=True))
        variables = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss * tf.cast(tf.shape(index)[0], tf.float32)

    def train_in_order(self, order):
        loss_sum = 0.0
        order, size = np.asarray(order, np.int32), self._config.batch_size
        for start in range(0, len(order), size):
            loss_sum += self._step(tf.constant(order[start : start + size]))
        return float(loss_sum) / len(order)

    def train(self, epochs):
        """Epochs in orders that numpy shuffles."""
        done = []
        for _ in range(epochs):
            begin = time.perf_counter()
            order = self._rng.permutation(self._rows.shape[0])
            loss = self.train_in_order(order)
            done.append(Epoch(loss, time.perf_counter() - begin))
        return done
