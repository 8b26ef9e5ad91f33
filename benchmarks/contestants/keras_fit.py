"""Keras `fit`: as the tutorial writes it, and with the settings that make it fastest here."""

import itertools
import statistics
import time

import keras
import numpy as np

from benchmarks import keras_model
from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of


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


class KerasContestant(Contestant):
    """A compiled `keras.Model`.

    Args:
        compile_options: `jit_compile` and `steps_per_execution`; Keras' own by default.
    """

    def __init__(self, config, train, validation, **compile_options):
        super().__init__(config, train, validation)
        self._widths = stack_of(config, train.shape[1]).widths
        self._build(**compile_options)

    def _build(self, **compile_options):
        config = self._config
        self.model = keras_model.build(
            self._widths,
            config.optimizer,
            config.learning_rate,
            config.precision,
            **compile_options,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self.model.optimizer.variables]

    def reset(self, weights):
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def weights(self):
        """Kernel and bias of each layer as arrays."""
        return self.model.get_weights()


class KerasFit(KerasContestant):
    """`fit` on arrays of floats."""

    def __init__(self, config, train, validation, **compile_options):
        super().__init__(config, train, validation, **compile_options)
        self._inputs = train / np.float32(255)
        self._targets = validation / np.float32(255)

    def train_in_order(self, order):
        rows, size = self._inputs[order], self._config.batch_size
        history = self.model.fit(rows, rows, batch_size=size, shuffle=False, verbose=0).history
        return history["loss"][0]

    def evaluate(self):
        """The mean validation loss."""
        rows = self._targets
        return self.model.evaluate(rows, rows, batch_size=self._config.batch_size, verbose=0)

    def train(self, epochs, validate=False):
        """`fit` for so many epochs."""
        clock = Clock()
        history = self.model.fit(
            self._inputs,
            self._inputs,
            batch_size=self._config.batch_size,
            epochs=epochs,
            shuffle=True,
            validation_data=(self._targets, self._targets) if validate else None,
            callbacks=[clock],
            verbose=0,
        ).history
        val_losses = history.get("val_loss", [None] * epochs)
        return list(map(Epoch, history["loss"], clock.epoch_s, val_losses))


class KerasAtItsBest(KerasFit):
    """Keras with the `jit_compile` and `steps_per_execution` whose epochs are the shortest here.

    All are tried, and the three best once more, longer and in turns.
    """

    STEPS_PER_EXECUTION = (1, 4, 16, 64, 256)

    def __init__(self, config, train, validation):
        super().__init__(config, train, validation)
        tried = {}
        for jit_compile, steps in itertools.product((True, False), self.STEPS_PER_EXECUTION):
            self._build(jit_compile=jit_compile, steps_per_execution=steps)
            seconds = min(epoch.epoch_s for epoch in self.train(3)[1:])
            tried[jit_compile, steps] = seconds, self.model, self._fresh
        finalists = sorted(tried, key=lambda settings: tried[settings][0])[:3]
        seconds = {settings: [] for settings in finalists}
        for _ in range(3):
            for settings in finalists:
                _, self.model, self._fresh = tried[settings]
                seconds[settings] += [epoch.epoch_s for epoch in self.train(2)]
        best = min(finalists, key=lambda settings: statistics.median(seconds[settings]))
        _, self.model, self._fresh = tried[best]
        self._note = "jit_compile={}, steps_per_execution={}".format(*best)

    def note(self):
        """The settings."""
        return self._note
