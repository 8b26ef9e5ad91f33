"""Exact resume: everything that training changes, on disk and back, bit for bit."""

import os
import re

import tensorflow as tf

from tfae.errors import DataError
from tfae.host.files import remove

KEEP = 2  # the one before the last stays, should the last be damaged


class Checkpoints:
    """The checkpoints of one run, each a directory named after its epoch.

    Args:
        directory: A pathlib.Path; it is made with the first checkpoint.
        **trackables: What tf.train.Checkpoint saves: the `TrainState`, and what callbacks keep.
    """

    def __init__(self, directory, **trackables):
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(**trackables)

    def epochs(self):
        """The epochs that have a checkpoint, oldest first."""
        if not self._directory.is_dir():
            return []
        names = (re.fullmatch(r"epoch-(\d+)", path.name) for path in self._directory.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def save(self, epoch):
        """Write that epoch's checkpoint, whole or not at all; all but the last two are removed."""
        final = self._path(epoch)
        if final.exists():
            return
        partial = self._directory / f".epoch-{epoch:06d}.partial"
        remove(partial)
        partial.mkdir(parents=True)
        try:
            self._checkpoint.write(str(partial / "state"))
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"the checkpoint {final} cannot be written ({reason}): make room on the disk, and "
                "--resume goes on from the one before it"
            ) from None
        for file in partial.iterdir():
            _flush(file)
        os.replace(partial, final)
        for old in self.epochs()[:-KEEP]:
            remove(self._path(old))

    def restore_last(self):
        """Restore the last checkpoint and return its epoch; 0 where there is none.

        Raises:
            DataError: The checkpoint is damaged or of another model.
        """
        epochs = self.epochs()
        if not epochs:
            return 0
        path = self._path(epochs[-1])
        try:
            self._checkpoint.read(str(path / "state")).assert_consumed()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"the checkpoint {path} cannot be restored ({reason}): remove that directory to go "
                "on from the one before it, or start again with --overwrite"
            ) from None
        return epochs[-1]

    def _path(self, epoch):
        return self._directory / f"epoch-{epoch:06d}"


def _flush(path):
    """Have the file on the disk before its directory gets its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
