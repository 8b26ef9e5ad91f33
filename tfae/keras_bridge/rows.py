"""The arrays that Keras' `fit` is given, a row each for N rows."""

import numbers
from typing import NamedTuple

import numpy as np

from tfae.keras_bridge.arrays import read

DEFAULT_BATCH_SIZE = 32  # Keras'
CHUNK_ROWS = 512  # of a few hundred numbers each: what is compared stays in the cache


class Data(NamedTuple):
    """Arrays with a row each for N rows.

    Attributes:
        x: [N, ...]; what goes in.
        y: [N, ...]; what is to come out, or None where that is x itself.
        sample_weight: [N] or None.
        y_is_given: Whether that y is x was said, and not left out.
    """

    x: np.ndarray
    y: np.ndarray | None
    sample_weight: np.ndarray | None
    y_is_given: bool = False

    @classmethod
    def of(cls, x, y=None, sample_weight=None):
        """Of the arguments as they are given; an array may be the only one of a list.

        Raises:
            ValueError: One is no array of numbers, is empty, or has another number of rows.
        """
        is_given = y is not None
        x, y = read("x", x), None if not is_given or y is x else read("y", y)
        if sample_weight is not None:
            sample_weight = _weights(sample_weight, len(x))
        if y is not None and len(y) != len(x):
            raise ValueError(f"x has {len(x)} rows and y {len(y)}; give as many")
        # A slice of x is another object each time, and still x.
        is_x = y is None or np.array_equal(x, y)
        return cls(x, None if is_x else y, sample_weight, is_given)

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
        arrays = (None if array is None else array[part] for array in self[:3])
        return Data(*arrays, self.y_is_given)

    def is_plain(self):
        """Whether it is rows to be rebuilt, and nothing else."""
        return self.y is None and self.sample_weight is None

    def for_keras(self, output_rank):
        """(x, y, sample_weight) as Keras' steps take them for outputs of that rank, N included.

        Keras has a loss for all but the last dimension of an output: with a dimension each, a
        row's weight is that of all its losses, and not of some other row's.
        """
        weights = self.sample_weight
        if weights is not None:
            weights = weights.reshape(-1, *[1] * (output_rank - 2))
        return self.x, self.x if self.y is None else self.y, weights


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


def _weights(given, row_count):
    """One a row [N], of [N] or [N, 1]."""
    one_each = f"give one weight a row, in the shape [N] = ({row_count},)"
    if np.isscalar(given) or getattr(given, "shape", None) == ():
        raise ValueError(f"sample_weight is {given!r}, one for all: {one_each}")
    weights = read("sample_weight", given)
    if weights.ndim == 1 or weights.shape[1:] == (1,):
        if len(weights) != row_count:
            raise ValueError(
                f"x has {row_count} rows and sample_weight {len(weights)}; give as many"
            )
        return weights.reshape(-1)
    raise ValueError(
        f"sample_weight has the shape {weights.shape}: {one_each}; weights of features are for a "
        "loss function of your own, which model.fit takes"
    )
