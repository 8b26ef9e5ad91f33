"""The arrays that Keras' `fit` is given, a row each for N rows."""

import numbers
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfae.keras_bridge.arrays import read

DEFAULT_BATCH_SIZE = 32  # Keras'
CHUNK_ROWS = 512  # of a few hundred numbers each: what is compared stays in the cache


class Data(NamedTuple):
    """Arrays with a row each for N rows, or lists and dicts of such arrays.

    Attributes:
        x: [N, ...]; what goes in.
        y: [N, ...]; what is to come out, which may be x itself, or None where nothing is.
        sample_weight: [N], several of those, or None.
        y_is_given: Whether y was said, and not left out.
    """

    x: Any
    y: Any
    sample_weight: Any
    y_is_given: bool = False

    @classmethod
    def of(
        cls,
        x,
        y=None,
        sample_weight=None,
        class_weight=None,
        arrays=(1, 1),
        has_targets=True,
    ):
        """Of the arguments as they are given; an array may be the only one of a list.

        Args:
            x, y, sample_weight, class_weight: As Keras' `fit` has them.
            arrays: How many the model has (inputs, outputs).
            has_targets: Whether y is x where it is not given.

        Raises:
            ValueError: One is no array of numbers, is empty, or has another number of rows.
        """
        is_given = y is not None
        is_x = y is x if is_given else has_targets
        x = read("x", x, arrays[0])
        y = x if is_x else read("y", y, arrays[1]) if is_given else None
        rows = _row_count(x, "x")
        if y is not None and _row_count(y, "y") != rows:
            raise ValueError(f"x has {rows} rows and y {_row_count(y, 'y')}; give as many")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("give sample_weight or class_weight, not both")
            sample_weight = _weights_of_classes(y, class_weight)
        elif sample_weight is not None:
            sample_weight = _weights(sample_weight, rows, arrays[1])
        # A slice of x is another object each time, and still x.
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and np.array_equal(x, y):
            y = x
        return cls(x, y, sample_weight, is_given)

    def __len__(self):
        """N."""
        return len(tf.nest.flatten(self.x)[0])

    def split(self, fraction):
        """(training, validation), the latter being the last part, as Keras takes it.

        Raises:
            ValueError: One of them would have no rows.
        """
        rows = len(self)
        first = int(rows * (1.0 - fraction)) if 0.0 < fraction < 1.0 else 0
        if not 0 < first < rows:
            raise ValueError(
                f"validation_split={fraction} of {rows} rows leaves none on one side; give a "
                "fraction between 0 and 1, such as 0.1"
            )
        return self.rows(slice(None, first)), self.rows(slice(first, None))

    def rows(self, part):
        """Those of a slice."""
        x = each(lambda array: array[part], self.x)
        y = x if self.y is self.x else each(lambda array: array[part], self.y)
        return Data(x, y, each(lambda array: array[part], self.sample_weight), self.y_is_given)

    def is_single(self):
        """Whether it is one array, and one of targets."""
        return isinstance(self.x, np.ndarray) and isinstance(self.y, np.ndarray)

    def is_plain(self):
        """Whether it is rows to be rebuilt, and nothing else."""
        return self.is_single() and self.y is self.x and self.sample_weight is None

    def structure(self):
        """The arrays' names and the shapes of their rows, as what can be compared."""
        shapes = each(lambda array: array.shape[1:], self[:3])
        return repr(shapes)

    def for_keras(self, output_rank):
        """(x, y, sample_weight) as Keras' steps take them for outputs of that rank, N included.

        Where the rank is not known, weights are as they were given.
        Keras has a loss for all but the last dimension of an output: with a dimension each, a
        row's weight is that of all its losses, and not of some other row's.
        """
        weights = self.sample_weight
        if isinstance(weights, np.ndarray) and output_rank is not None:
            if self.y is None or isinstance(self.y, np.ndarray):
                ranks = output_rank
            else:  # one of each row for all outputs
                ranks = each(np.ndim, self.y)
            weights = each(lambda rank: weights.reshape(-1, *[1] * (rank - 2)), ranks)
        return self.x, self.y, weights


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


def each(function, arrays):
    """The function's results of arrays in lists and dicts; of None it is None."""
    return tf.nest.map_structure(lambda part: None if part is None else function(part), arrays)


def _row_count(arrays, name):
    """N, of arrays in lists and dicts; ValueError where they differ."""
    counts = [len(array) for array in tf.nest.flatten(arrays)]
    if len(set(counts)) > 1:
        raise ValueError(
            f"the arrays of {name} have {', '.join(map(str, counts))} rows; give as many"
        )
    return counts[0]


def _weights(given, row_count, count=1):
    """One a row [N], of [N] or [N, 1]; several of these where several are given."""
    if isinstance(given, dict):
        return {part: _weights(value, row_count) for part, value in given.items()}
    if isinstance(given, (list, tuple)) and len(given) == count > 1:
        return [_weights(value, row_count) for value in given]
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


def _weights_of_classes(y, class_weight):
    """[N], of labels, or of one column a class, as Keras has it; 1 where none is given."""
    if not isinstance(y, np.ndarray):
        raise ValueError("class_weight is for a model with one output: give sample_weight instead")
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] != 1 else y[..., 0]
    if y.ndim != 1:
        raise ValueError("class_weight is of one label a row: give sample_weight instead")
    labels, places = np.unique(np.round(y).astype(int), return_inverse=True)
    weights = [class_weight.get(int(label), 1.0) for label in labels]
    return np.asarray(weights, keras.config.floatx())[places]
