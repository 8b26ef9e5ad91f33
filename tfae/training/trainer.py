"""The outer loop, in Python between the compiled calls: train, evaluate, callbacks."""

import itertools
import time

import tensorflow as tf

from tfae.training.callbacks import CallbackList


class Trainer:
    """Runs epochs on an engine and tells the callbacks.

    Args:
        engine: An engine, whose `train_epoch(rows, order)` and `evaluate(rows)` are compiled.
        feed: The `Feed` of training rows.
        validation: [M, D] tensor.
        epochs: How many epochs the whole run has.
        callbacks: A list of `Callback`, told in this order.
        validate_every: Epochs between two evaluations of the validation rows, which the last epoch
            always has.
        epochs_a_call: How many epochs one call may train where the engine is faster so: those of a
            whole share between two multiples, after which alone callbacks see weights.

    Attributes:
        epoch: The epoch that the engine's state is of, from 1; 0 before the first.
        epochs_a_call: As many as that come to.
        stop_reason: Why the run ended before its last epoch, or None.
    """

    def __init__(
        self, engine, feed, validation, epochs, callbacks, *, validate_every=1, epochs_a_call=1
    ):
        self.engine = engine
        self.feed = feed
        self.validation = validation
        self.epochs = epochs
        self.epoch = 0
        self.stop_reason = None
        self._callbacks = CallbackList(callbacks)
        self.validate_every = validate_every
        several = engine.trains_several and feed.blocks == 1
        self.epochs_a_call = epochs_a_call if several else 1

    def stop(self, reason):
        """End the run after the epoch that the engine's state is of."""
        self.stop_reason = reason

    def train(self, after=0, unvalidated=None):
        """Run the epochs that follow epoch `after`.

        Args:
            after: The epoch that the engine's state is of.
            unvalidated: Its record, where it is the run's last epoch and had no validation: it gets
                one, and the callbacks are told again.

        Raises:
            TrainingError: A callback found that the run cannot go on.
        """
        self.epoch = after
        elements = iter(self.feed.epochs(after + 1, self.epochs, self.epochs_a_call))
        self._callbacks.train_begin(self)
        try:
            if unvalidated:
                self._callbacks.epoch_end(self, {**unvalidated, "val_loss": self._evaluate()})
            while self.epoch < self.epochs and not self.stop_reason:
                for record in self._run_epochs(elements):
                    self._callbacks.epoch_end(self, record)
        finally:
            self._callbacks.train_end(self)

    def _run_epochs(self, elements):
        """The records of the next epoch, or of several where one call trains them."""
        first, count = self.epoch + 1, self.epochs_a_call
        if self.epoch % count or self.epoch + count > self.epochs:
            count = 1  # another number would be another program to compile
        begin = time.perf_counter()
        # The numbers that come to the host, which also waits for the device.
        if count == 1:
            losses = [self._train_epoch(elements)]
        else:
            losses = self._train_epochs(itertools.islice(elements, count))
        epoch_s = (time.perf_counter() - begin) / count
        self.epoch += count
        records = [
            {
                "epoch": epoch,
                "loss": loss,
                "val_loss": None,
                "epoch_s": epoch_s,
                "rows_per_s": self.feed.row_count / epoch_s,
            }
            for epoch, loss in enumerate(losses, first)
        ]
        if self.epoch % self.validate_every == 0 or self.epoch == self.epochs:
            records[-1]["val_loss"] = self._evaluate()
        return records

    def _train_epoch(self, elements):
        loss_sum = 0.0
        for _ in range(self.feed.blocks):
            rows, order = next(elements)
            loss_sum += float(self.engine.train_epoch(rows, order)) * rows.shape[0]
        return loss_sum / self.feed.row_count

    def _train_epochs(self, elements):
        rows, orders = zip(*elements, strict=True)
        return self.engine.train_epochs(rows[0], tf.stack(orders)).numpy().tolist()

    def _evaluate(self):
        return float(self.engine.evaluate(self.validation))
