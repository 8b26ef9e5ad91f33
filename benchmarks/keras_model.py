"""The Keras tutorial's autoencoder, which all is compared with; it knows nothing of tfae."""

import time

import keras
from keras import layers


def build(widths, optimizer="adadelta", learning_rate=1.0, precision="float32", **compile_options):
    """The compiled model.

    Args:
        widths: Features in, every layer's width, features out: (784, 32, 784).
        optimizer: "adadelta" or "adam", with Keras' constants.
        learning_rate: A number.
        precision: The dtype policy. Under a mixed one the sigmoid is float32, as Keras' guide to
            mixed precision has it; float16 gets Keras' dynamic loss scale.
        compile_options: `jit_compile`, `steps_per_execution`.

    The weights are drawn from Keras' seed: `keras.utils.set_random_seed` before decides them.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        rows = keras.Input((widths[0],))
        hidden = rows
        for width in widths[1:-1]:
            hidden = layers.Dense(width, activation="relu")(hidden)
        logits = layers.Dense(widths[-1])(hidden)
        rebuilt = layers.Activation("sigmoid", dtype="float32")(logits)
        model = keras.Model(rows, rebuilt)
        optimizers = {"adadelta": keras.optimizers.Adadelta, "adam": keras.optimizers.Adam}
        model.compile(
            optimizers[optimizer](learning_rate), loss="binary_crossentropy", **compile_options
        )
    finally:
        keras.config.set_dtype_policy(before)
    return model


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch's training; what is validated after it does not count."""

    def __init__(self):
        super().__init__()
        self.epoch_s = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start."""
        self._begin, self._running = time.perf_counter(), True

    def on_test_begin(self, logs=None):
        """Stop before the validation."""
        self._stop()

    def on_epoch_end(self, epoch, logs=None):
        """Stop where there was no validation."""
        self._stop()

    def _stop(self):
        if self._running:
            self.epoch_s.append(time.perf_counter() - self._begin)
        self._running = False
