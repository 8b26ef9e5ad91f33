"""One process at a time in a directory."""

import contextlib
import fcntl
import os


class Taken(Exception):
    """Another process holds the directory, or this one does already."""


class DirectoryLock:
    """A lock on a directory, which leaves no file there and ends with the process.

    Where the file system knows no locks, it holds nobody off.

    Args:
        path: The directory, which need not be there yet.
    """

    def __init__(self, path):
        self._path = path
        self._descriptor = None

    def acquire(self):
        """Hold the directory, if it is there and not held by this lock already.

        Raises:
            Taken: Somebody else does.
        """
        if self._descriptor is not None:
            return
        with contextlib.suppress(OSError):
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        if self._descriptor is None:
            return
        try:
            _lock(self._descriptor)
        except Taken:
            self.release()
            raise

    def release(self):
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Taken from None
    except OSError:
        pass  # a file system without them
