"""The outer loop, once per epoch in Python: train, evaluate, callbacks."""

import time

from tfae.callbacks import CallbackList


class Trainer:
    """Runs epochs on an engine and tells the callbacks.

    Args:
        engine: An engine, whose `train_epoch(rows, order)` and `evaluate(rows)` are compiled.
        feed: The `Feed` of training rows.
        validation: [M, D] tensor, evaluated after every epoch.
        epochs: How many epochs the whole run has.
        callbacks: A list of `Callback`, told in this order.

    Attributes:
        epoch: The last whole epoch, from 1; 0 before the first.
        stop_reason: Why the run ended before its last epoch, or None.
    """

    def __init__(self, engine, feed, validation, epochs, callbacks):
        self.engine = engine
        self.feed = feed
        self.validation = validation
        self.epochs = epochs
        self.epoch = 0
        self.stop_reason = None
        self._callbacks = CallbackList(callbacks)

    def stop(self, reason):
        """End the run after this epoch."""
        self.stop_reason = reason

    def train(self, after=0):
        """Run the epochs that follow epoch `after`.

        Raises:
            TrainingError: A callback found that the run cannot go on.
        """
        self.epoch = after
        elements = iter(self.feed.epochs(after + 1, self.epochs))
        self._callbacks.train_begin(self)
        try:
            while self.epoch < self.epochs and not self.stop_reason:
                record = self._run_epoch(elements)
                self.epoch += 1
                self._callbacks.epoch_end(self, record)
        finally:
            self._callbacks.train_end(self)

    def _run_epoch(self, elements):
        begin = time.perf_counter()
        loss_sum = 0.0
        for _ in range(self.feed.blocks):
            rows, order = next(elements)
            # The one number that comes to the host, which also waits for the device.
            loss_sum += float(self.engine.train_epoch(rows, order)) * rows.shape[0]
        epoch_s = time.perf_counter() - begin
        return {
            "epoch": self.epoch + 1,
            "loss": loss_sum / self.feed.row_count,
            "val_loss": float(self.engine.evaluate(self.validation)),
            "epoch_s": epoch_s,
            "rows_per_s": self.feed.row_count / epoch_s,
        }
