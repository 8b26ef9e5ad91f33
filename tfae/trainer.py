"""The outer loop in Python: epochs, their validation, callbacks."""

import time

from tfae.callbacks import CallbackList


class Trainer:
    """Runs epochs on an engine and tells the callbacks.

    Args:
        engine: An engine, whose `train_epoch(rows, order)` and `evaluate(rows)` are compiled.
        feed: The `Feed` of training rows.
        validation: [M, D] tensor.
        epochs: How many epochs the whole run has.
        callbacks: A list of `Callback`, told in this order.
        validate_every: Epochs between two validations; the last one has one too. Up to there they
            are queued on the device, which is not waited for in between.

    Attributes:
        epoch: The last whole epoch, from 1; 0 before the first. It always ends with a validation.
        stop_reason: Why the run ended before its last epoch, or None.
    """

    def __init__(self, engine, feed, validation, epochs, callbacks, validate_every=1):
        self.engine = engine
        self.feed = feed
        self.validation = validation
        self.epochs = epochs
        self.epoch = 0
        self.stop_reason = None
        self._callbacks = CallbackList(callbacks)
        self._validate_every = validate_every

    def stop(self, reason):
        """End the run here."""
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
                begun, every = self.epoch, self._validate_every
                self.epoch = min((begun // every + 1) * every, self.epochs)
                count = self.epoch - begun
                # The first epoch compiles: its time is its own.
                parts = (1, count - 1) if begun == after else (count,)
                done = [each for part in parts for each in self._run_epochs(part, elements)]
                val_loss = float(self.engine.evaluate(self.validation))
                for epoch, (loss, epoch_s) in enumerate(done, start=begun + 1):
                    record = {
                        "epoch": epoch,
                        "loss": loss,
                        "val_loss": val_loss if epoch == self.epoch else None,
                        "epoch_s": epoch_s,
                        "rows_per_s": self.feed.row_count / epoch_s,
                    }
                    self._callbacks.epoch_end(self, record)
        finally:
            self._callbacks.train_end(self)

    def _run_epochs(self, count, elements):
        """Of each of the next epochs: its mean training loss, and seconds, the mean of them all."""
        begin = time.perf_counter()
        losses = [self._run_epoch(elements) for _ in range(count)]
        losses = [float(loss) for loss in losses]  # what waits for the device
        epoch_s = (time.perf_counter() - begin) / max(count, 1)
        return [(loss, epoch_s) for loss in losses]

    def _run_epoch(self, elements):
        """The mean training loss, which may not have come from the device yet."""
        if self.feed.blocks == 1:
            return self.engine.train_epoch(*next(elements))
        loss_sum = 0.0
        for _ in range(self.feed.blocks):
            rows, order = next(elements)
            # Waited for: blocks in the queue would fill the device's memory.
            loss_sum += float(self.engine.train_epoch(rows, order)) * rows.shape[0]
        return loss_sum / self.feed.row_count
