"""Whether arrays are fit to train on, and what is to be said of those that are."""

from math import prod

import numpy as np

from tfae.data.numbering import numbering_notes
from tfae.data.rounding import Rounding
from tfae.errors import DataError


def check(array, where, chunks, names=None):
    """Raises DataError unless the array holds at least one row of finite real numbers.

    Args:
        array: [N, ...], in memory or memory-mapped.
        where: What it is called in messages.
        chunks: Gives slices over the rows of a shape (N, D), so that a big array is looked at once
            and piece by piece.
        names: [D] of a table's columns, which have been looked at before they became float32.

    Returns:
        What float32 loses of its columns, and which of them count the rows, one line each.
    """
    if array.ndim < 2:
        raise DataError(
            f"{where}: has the shape {array.shape}, which looks like labels; rows of numbers "
            "[N, columns] or images [N, height, width] are needed"
        )
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{where}: holds {array.dtype}; save it as numbers: uint8, or what fits float32"
        )
    if not prod(array.shape):
        raise DataError(f"{where}: has the shape {array.shape}, so it is empty; give rows of data")
    rounding = Rounding() if names is None else None
    if array.dtype.kind == "f" or (rounding and array.dtype.itemsize > 2):
        _look(array, where, chunks, rounding)
    return [*(rounding.notes() if rounding else ()), *numbering_notes(array, names)]


def counted(count):
    """A number of rows, in words."""
    return f"{count} row{'' if count == 1 else 's'}"


def _look(array, where, chunks, rounding):
    count, first = 0, None
    for part in chunks((len(array), prod(array.shape[1:]))):
        chunk = array[part].reshape(part.stop - part.start, -1)
        if rounding:
            rounding.look(chunk)
        if array.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):  # becomes infinity and is counted
            single = chunk.astype(np.float32, copy=False)
        bad = np.flatnonzero(~np.isfinite(single).all(axis=1))
        count += len(bad)
        if len(bad) and first is None:
            first = part.start + bad[0]
    if count:
        raise DataError(
            f"{where}: NaN, infinity or a value too large for float32 in {counted(count)}, first "
            f"in row {first} (counted from 0); drop or repair them"
        )
