"""A Keras model by `fit`: as the tutorial writes it, at its best here, and by `tfae.fit`."""

import itertools
import statistics

import numpy as np

import tfae
from benchmarks import keras_model
from benchmarks.contestants import Contestant, Epoch
from benchmarks.harness import stack_of, timed
from tfae.host.environment import visible_gpus


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
        history = self.fit(rows, rows, batch_size=size, shuffle=False, verbose=0).history
        return history["loss"][0]

    def fit(self, *args, **options):
        """As the model's."""
        return self.model.fit(*args, **options)

    def evaluate(self):
        """The mean validation loss."""
        rows = self._targets
        return self.model.evaluate(rows, rows, batch_size=self._config.batch_size, verbose=0)

    def reconstruct(self):
        return self.model.predict(self._inputs, verbose=0)

    def train(self, epochs, validate=False):
        """`fit` for so many epochs."""
        clock = keras_model.Clock()
        history = self.fit(
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

    All are tried, and the three best once more, longer and in turns. For `predict`, with those
    settings, the batch size is searched. On a GPU Keras compiles by itself, and each setting for
    long, the longer the more steps: three are tried there.
    """

    SETTINGS = tuple(itertools.product((True, False), (1, 4, 16, 64, 256)))
    SETTINGS_ON_GPU = ((True, 1), (True, 8), (True, 32))
    PREDICT_BATCH_SIZES = (32, 256, 1024, 4096, 16384)

    def __init__(self, config, train, validation):
        super().__init__(config, train, validation)
        tried = {}
        for jit_compile, steps in self.SETTINGS_ON_GPU if visible_gpus() else self.SETTINGS:
            self._build(jit_compile=jit_compile, steps_per_execution=steps)
            seconds = min(epoch.epoch_s for epoch in self.train(3)[1:])
            tried[jit_compile, steps] = seconds, self.model
        finalists = sorted(tried, key=lambda settings: tried[settings][0])[:3]
        seconds = {settings: [] for settings in finalists}
        for _ in range(3):
            for settings in finalists:
                _, self.model = tried[settings]
                seconds[settings] += [epoch.epoch_s for epoch in self.train(2)]
        best = min(finalists, key=lambda settings: statistics.median(seconds[settings]))
        jit_compile, steps = best
        self._build(jit_compile=jit_compile, steps_per_execution=steps)  # compiles like all others
        self._predict_batch_size = min(self.PREDICT_BATCH_SIZES, key=self._predict_s)
        self._note = (
            f"jit_compile={jit_compile}, steps_per_execution={steps}; predict with batches of "
            f"{self._predict_batch_size}"
        )

    def _predict_s(self, batch_size):
        self.model.predict(self._inputs, batch_size=batch_size, verbose=0)
        return timed(self.model.predict, self._inputs, batch_size=batch_size, verbose=0)[1]

    def reconstruct(self):
        size = self._predict_batch_size
        return self.model.predict(self._inputs, batch_size=size, verbose=0)

    def note(self):
        """The settings."""
        return self._note


class TfaeFit(KerasFit):
    """The tutorial's model and rows, but for the one line that is `tfae.fit`."""

    def fit(self, *args, **options):
        self._history = tfae.fit(self.model, *args, **options)
        return self._history

    def evaluate(self):
        size = self._config.batch_size
        return tfae.evaluate(self.model, self._targets, batch_size=size, verbose=0)

    def reconstruct(self):
        return tfae.predict(self.model, self._inputs, verbose=0)

    def note(self):
        """Which engine it is, and why."""
        return "{engine}, {reason}".format(**self._history.params)
