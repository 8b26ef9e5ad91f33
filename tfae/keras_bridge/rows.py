"""The arrays that Keras' `fit` is given, checked."""

import numbers
from typing import NamedTuple

import keras
import numpy as np

DEFAULT_BATCH_SIZE = 32  # Keras'
CHUNK_ROWS = 512  # of a few hundred numbers each: what is compared stays in the cache


class Data(NamedTuple):
    """Arrays with a row each for N rows.

    Attributes:
        x: [N, ...]; what goes in.
        y: [N, ...]; what is to come out, or None where that is x itself.
        sample_weight: [N] or None.
    """

    x: np.ndarray
    y: np.ndarray | None
    sample_weight: np.ndarray | None

    @classmethod
    def of(cls, x, y=None, sample_weight=None):
        """Of the arguments as they are given; an array may be the only one of a list.

        Raises:
            ValueError: One is no array of numbers, is empty, or has another number of rows.
        """
        x, y = _array("x", x), None if y is None or y is x else _array("y", y)
        # A slice of x is another object each time, and still x.
        data = cls(x, None if y is not None and np.array_equal(x, y) else y, None)
        if sample_weight is not None:
            data = data._replace(sample_weight=_array("sample_weight", sample_weight))
        for name, rows in zip(cls._fields, data, strict=True):
            if rows is not None and len(rows) != len(x):
                raise ValueError(f"x has {len(x)} rows and {name} {len(rows)}; give as many")
        return data

    def split(self, fraction):
        """(training, validation), the latter being the last part, as Keras takes it.

        Raises:
            ValueError: One of them would have no rows.
        """
        rows = len(self.x)
        first = int(rows * (1.0 - fraction)) if 0.0 < fraction < 1.0 else 0
        if not 0 < first < rows:
            raise ValueError(
                f"validation_split={fraction} of {rows} rows leaves none on one side; give a "
                "fraction between 0 and 1, such as 0.1"
            )
        return self.rows(slice(None, first)), self.rows(slice(first, None))

    def rows(self, part):
        """Those of a slice."""
        return Data(*(None if array is None else array[part] for array in self))

    def is_plain(self):
        """Whether it is rows to be rebuilt, and nothing else."""
        return self.y is None and self.sample_weight is None

    def for_keras(self):
        """(x, y, sample_weight) as Keras' steps take them."""
        return self.x, self.x if self.y is None else self.y, self.sample_weight


def checked_batch_size(batch_size):
    """The batch size, Keras' own where it is None; ValueError where it is none."""
    if batch_size is None:
        return DEFAULT_BATCH_SIZE
    check_whole_number("batch_size", batch_size, 1)
    return int(batch_size)


def check_whole_number(name, value, least):
    """Refuse another value, by a ValueError, than a whole number that is not below `least`."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")


def as_bytes(rows):
    """Bytes that divided by 255 are these float32 rows to the bit, or None where none are.

    That is what images mostly are, and as bytes they take a quarter of the memory and of its time.
    """
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    packed = np.empty(rows.shape, np.uint8)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        with np.errstate(invalid="ignore"):
            numbers = np.rint(chunk * np.float32(255)).astype(np.uint8)
        if not np.array_equal(values[numbers], chunk):
            return None
        packed[start : start + CHUNK_ROWS] = numbers
    return packed


def _array(name, values):
    if isinstance(values, (list, tuple)) and any(np.ndim(value) > 1 for value in values):
        if len(values) > 1:
            raise ValueError(f"{name} must be one array, got a {type(values).__name__} of several")
        values = values[0]
    rows = np.asarray(values) if not isinstance(values, (dict, str)) else np.asarray(None)
    is_float = rows.dtype.kind == "f" or rows.dtype.name == "bfloat16"
    if not (is_float or rows.dtype.kind in "iub") or rows.ndim < 1:
        kind = f"{type(values).__name__} of {rows.dtype}" if rows.ndim else type(values).__name__
        raise ValueError(
            f"{name} must be an array of numbers with a row for each example, got {kind}: load the "
            "rows into an array, or use model.fit"
        )
    if not len(rows):
        raise ValueError(f"{name} has no rows")
    return rows.astype(keras.config.floatx(), copy=False) if is_float else rows
