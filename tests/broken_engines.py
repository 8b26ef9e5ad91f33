"""Contestants that are wrong on purpose: a benchmark that lets one pass proves nothing."""

import tensorflow as tf

from benchmarks.contestants.ours import Tfae
from tfae.engines.xla import XlaEngine, compiled

# What the engine would do in an epoch, to be traced as a part of another function.
epoch_of = XlaEngine.train_epoch.python_function


class StaleGradientEngine(XlaEngine):
    """Takes every gradient at the weights that the epoch began with."""

    @compiled
    def train_epoch(self, rows, order):
        """As `XlaEngine.train_epoch`."""
        self._stale = self._turned(self.state.read()).params
        return epoch_of(self, rows, order)

    def _train_step(self, state, rows):
        updated, loss_sum = super()._train_step(state._replace(params=self._stale), rows)
        moved = zip(state.params, updated.params, self._stale, strict=True)
        return updated._replace(params=tuple(p + new - old for p, new, old in moved)), loss_sum


class BatchMeanEngine(XlaEngine):
    """Averages the loss over batches, so that a short one counts as much as a whole one."""

    @compiled
    def train_epoch(self, rows, order):
        """As `XlaEngine.train_epoch`."""
        self._rows_a_batch = order.shape[0] / -(-order.shape[0] // self._batch_size)
        return epoch_of(self, rows, order)

    def _train_step(self, state, rows):
        state, loss_sum = super()._train_step(state, rows)
        return state, loss_sum / tf.cast(rows.shape[0], tf.float32) * self._rows_a_batch


class FrozenBiasEngine(XlaEngine):
    """Does not train the last bias."""

    def _train_step(self, state, rows):
        updated, loss_sum = super()._train_step(state, rows)
        return updated._replace(params=(*updated.params[:-1], state.params[-1])), loss_sum


class _Broken(Tfae):
    engine_class = XlaEngine

    def make_engine(self, config, network, row_count):
        """The engine, broken."""
        engine, reason = super().make_engine(config, network, row_count)
        engine.__class__ = self.engine_class
        return engine, reason


class TooHigh(Tfae):
    """Says that an epoch's loss is a thousandth higher than it is, whatever the engine."""

    def train_in_order(self, order):
        """As `Tfae.train_in_order`."""
        return 1.001 * super().train_in_order(order)


class WrongAtShortBatches(Tfae):
    """Says another loss, whatever the engine, where the last batch is short."""

    def train_in_order(self, order):
        """As `Tfae.train_in_order`."""
        short = len(order) % self._config.batch_size
        return (1.001 if short else 1) * super().train_in_order(order)


class LyingEvaluate(Tfae):
    """Says that the validation loss is a tenth lower than it is, whatever the engine."""

    def evaluate(self):
        """As `Tfae.evaluate`."""
        return 0.9 * super().evaluate()


class StaleGradient(_Broken):
    """With a `StaleGradientEngine`."""

    engine_class = StaleGradientEngine


class FrozenBias(_Broken):
    """With a `FrozenBiasEngine`."""

    engine_class = FrozenBiasEngine


class BatchMean(_Broken):
    """With a `BatchMeanEngine`."""

    engine_class = BatchMeanEngine
