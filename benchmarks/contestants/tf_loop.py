"""The training loop of TensorFlow's guides: a compiled step, and a Python loop over the steps."""

import numpy as np
import tensorflow as tf

from benchmarks.contestants.keras_fit import KerasContestant


class TfLoop(KerasContestant):
    """A Keras model and optimizer, a jit-compiled tf.function a step, rows resident as floats."""

    def __init__(self, config, train, validation):
        super().__init__(config, train, validation)
        self._rows = tf.constant(train / np.float32(255))

    @tf.function(jit_compile=True)
    def _step(self, index):
        rows = tf.gather(self._rows, index)
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(rows, rows, self.model(rows, training=True))
        variables = self.model.trainable_variables
        grads = tape.gradient(loss, variables)
        self.model.optimizer.apply_gradients(zip(grads, variables, strict=True))
        return loss * tf.cast(tf.shape(index)[0], tf.float32)

    def train_in_order(self, order):
        loss_sum, size = 0.0, self._config.batch_size
        order = np.asarray(order, np.int32)
        for start in range(0, len(order), size):
            loss_sum += self._step(tf.constant(order[start : start + size]))
        return float(loss_sum) / len(order)
