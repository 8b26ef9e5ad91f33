"""Exact resume: everything that training changes, on disk and back, bit for bit."""

import contextlib
import os
import re
from textwrap import shorten

import tensorflow as tf

from tfae.errors import DataError
from tfae.host.files import flush, remove, writing

_UNREADABLE = PermissionError, tf.errors.PermissionDeniedError, tf.errors.UnavailableError
KEEP = 2  # the one before the last stays, should the last be damaged


def saved_epochs(directory):
    """The epochs that have a checkpoint in a directory (a Path), oldest first."""
    if not directory.is_dir():
        return []
    names = (re.fullmatch(r"epoch-(\d{6,})", path.name) for path in directory.iterdir())
    return sorted(int(name[1]) for name in names if name)


class Checkpoints:
    """The checkpoints of one run, each a directory named after its epoch.

    Args:
        directory: A pathlib.Path; it is made with the first checkpoint.
        **trackables: What tf.train.Checkpoint saves: the `TrainState`, and what callbacks keep.
    """

    def __init__(self, directory, **trackables):
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(**trackables)
        self._damaged = set()

    def save(self, epoch):
        """Write that epoch's checkpoint, whole or not at all; all but the last two are removed.

        Damaged ones do not count, and stay until one of their epoch, or a later one, is written.

        Raises:
            NotWritten: The disk is full, or cannot be written for another reason.
        """
        final = self._path(epoch)
        if final.exists() and epoch not in self._damaged:
            return
        partial = self._directory / f".epoch-{epoch:06d}.partial"
        try:
            with writing(final):
                remove(partial)
                partial.mkdir(parents=True)
                self._checkpoint.write(str(partial / "state"))
                for file in partial.iterdir():
                    flush(file)
                flush(partial)
                remove(final)
                os.replace(partial, final)
                flush(self._directory)
        except tf.errors.OpError as error:
            raise DataError(
                f"the checkpoint {final} cannot be written ({_reason(error)})"
            ) from None
        finally:
            with contextlib.suppress(OSError):  # which would hide why
                remove(partial)
        replaced = {damaged for damaged in self._damaged if damaged <= epoch}
        self._damaged -= replaced
        whole = [saved for saved in saved_epochs(self._directory) if saved not in self._damaged]
        for old in {*whole[:-KEEP], *replaced} - {epoch}:
            remove(self._path(old))

    def restore_last(self):
        """Restore the last checkpoint that is whole.

        Returns:
            Its epoch, 0 where there is none; and what is wrong with each later one, a clause each.

        Raises:
            DataError: There are some, and all are damaged or of another model.
        """
        flaws = []
        for epoch in reversed(saved_epochs(self._directory)):
            flaw = self._restore(epoch)
            if not flaw:
                return epoch, flaws
            self._damaged.add(epoch)
            flaws.append(f"{self._path(epoch)} cannot be restored ({flaw})")
        if flaws:
            raise DataError(
                f"no checkpoint is whole: {'; '.join(flaws)}; start again with --overwrite"
            )
        return 0, []

    def _restore(self, epoch):
        """Restore all variables from that epoch's checkpoint; why not, where that fails."""
        try:
            self._checkpoint.read(str(self._path(epoch) / "state")).assert_consumed()
        except MemoryError:
            raise
        except _UNREADABLE as error:  # which says nothing of what is in it
            raise DataError(
                f"{self._path(epoch)} cannot be read ({_reason(error)}): see that it can be"
            ) from None
        except Exception as error:  # damage can surface anywhere in TensorFlow
            return _reason(error)
        return None

    def _path(self, epoch):
        return self._directory / f"epoch-{epoch:06d}"


def _reason(error):
    """What a person understands of an error of TensorFlow's: not the names of its nodes."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:\w+\]", "", str(error))
    return shorten(text, 160) or type(error).__name__
