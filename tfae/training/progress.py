"""What a run prints while it trains: a live bar on a terminal, plain lines elsewhere."""

import sys
import time

from tfae.host.console import say
from tfae.training.callbacks import Callback


class PlainProgress(Callback):
    """A line an epoch."""

    def train_begin(self, trainer):
        """No epoch is behind."""
        self._first = None

    def epoch_end(self, trainer, record):
        """Print the epoch's line."""
        left = ""
        if self._first is None:  # what has run until now compiled, which the others will not
            self._first, self._begin = trainer.epoch, time.perf_counter()
        elif trainer.epoch > self._first:
            each_s = (time.perf_counter() - self._begin) / (trainer.epoch - self._first)
            left = f"  {each_s * (trainer.epochs - trainer.epoch):.0f} s left"
        width = len(str(trainer.epochs))
        took = "" if record["epoch_s"] is None else f"  {record['epoch_s']:.2f} s"
        say(f"epoch {record['epoch']:{width}}/{trainer.epochs}  {describe(record)}{took}{left}")


class LiveProgress(Callback):
    """A bar that is redrawn each epoch."""

    def train_begin(self, trainer):
        """Draw the empty bar."""
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("epoch"),
            progress.MofNCompleteColumn(),
            progress.BarColumn(bar_width=30),
            progress.TextColumn("{task.description}"),
            progress.TimeRemainingColumn(),
        )
        first = "compiling" if trainer.engine.compiles else "training"
        self._task = self._bar.add_task(first, total=trainer.epochs, completed=trainer.epoch)
        self._bar.start()
        self._val_loss = None

    def epoch_end(self, trainer, record):
        """Redraw the bar, with the last validation that there was."""
        if record["val_loss"] is not None:
            self._val_loss = record["val_loss"]
        shown = describe({**record, "val_loss": self._val_loss})
        self._bar.update(self._task, completed=record["epoch"], description=shown)

    def train_end(self, trainer):
        """Leave the terminal as it was."""
        self._bar.stop()


def describe(record):
    """The losses and the rate of an epoch's record, as far as it has them, for a person."""
    forms = {"loss": "loss {:.4f}", "val_loss": "validation {:.4f}", "rows_per_s": "{:,.0f} rows/s"}
    shown = [form.format(record[name]) for name, form in forms.items() if record[name] is not None]
    return "  ".join(shown)


def make_progress(quiet):
    """The callbacks that print: none, a live bar, or plain lines."""
    if quiet:
        return []
    return [LiveProgress() if sys.stdout.isatty() else PlainProgress()]
