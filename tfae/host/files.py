"""Files that are written whole or not at all, and what can go wrong with any."""

import contextlib
import csv
import errno
import os
import shutil
import struct
import tokenize
import zipfile
import zlib

# What json, numpy, zipfile, h5py, Keras and pyarrow raise for damaged files, as far as random
# damage brought it out.
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
    csv.Error,
)

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a library may have put into words of its own.
_TOLD = (*_FULL, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class NotWritten(OSError):
    """A file cannot be written; `str()` of it says which, why and what to do."""

    def __str__(self):
        remedy = "make room on the disk" if self.errno in _FULL else "see that it can be"
        return f"{self.filename} cannot be written ({self.strerror}): {remedy}"


@contextlib.contextmanager
def writing(path):
    """Have an error name the file that is being written, however a library says it: NotWritten."""
    try:
        yield
    except Exception as error:
        if code := _error_number(error):
            raise NotWritten(code, os.strerror(code), str(path)) from None
        raise


def _error_number(error):
    """The operating system's, of an error or of the one that it came of; None where it has none."""
    while error:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        for code in _TOLD:
            if os.strerror(code) in str(error):
                return code
        error = error.__cause__ or error.__context__
    return None


def remove(path):
    """Remove a file or a directory with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path):
    """Have a file, or the names in a directory, on the disk: a power cut does not undo it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot, as some cannot a directory
            raise
    finally:
        os.close(descriptor)


def write_text(path, text):
    """Write a text file whole or not at all."""
    write_whole(path, lambda partial: partial.write_text(text, "utf-8", errors="backslashreplace"))


def write_whole(path, write):
    """Have `write(partial_path)` write a file, and give it its name only once it is whole.

    Raises:
        NotWritten: The disk is full, or cannot be written for another reason.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with writing(path):
            write(partial)
            flush(partial)
            if path.is_dir():  # an empty one is in the way, and no loss
                path.rmdir()
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # which would hide why
            remove(partial)
