"""Rows as people give them, as one array of numbers: lists, data frames, tensors, objects."""

import decimal
import inspect
import math
import numbers

import keras
import numpy as np
import tensorflow as tf

from tfae.host.environment import memory_bytes
from tfae.keras_bridge.causes import LeftToFit

LOAD = "load the rows into an array"
ROOM = 0.5  # of the machine's memory, for one array
COLUMNS_NAMED = 5  # of those that are no numbers
REAL = (numbers.Real, decimal.Decimal, np.bool_)
# What gives its rows bit by bit: what a person calls it, and how it is known.
STREAMS = {
    "a keras.utils.PyDataset": lambda given: isinstance(given, keras.utils.PyDataset),
    "a tf.data Dataset": lambda given: isinstance(given, tf.data.Dataset),
    "a torch DataLoader": lambda given: type(given).__module__.startswith("torch.utils.data"),
    "a generator": inspect.isgenerator,
    "an iterator": lambda given: hasattr(given, "__next__"),
}


def read(name, given, count=1):
    """What was given as [N, ...], an array of numbers, or a list or dict of these.

    Floats are of Keras' float type; whole numbers and truth values keep theirs.

    Args:
        name: Of the argument, for messages.
        count: How many arrays are expected.
        given: An array or what numpy makes one of, a data frame or a column of one (of pandas,
            polars and the like), or a list with one of these.

    Raises:
        ValueError: It is none, or has no rows; the message says what to do.
        LeftToFit: It gives its rows bit by bit.
    """
    if isinstance(given, dict) and given:
        return {part: read(f"{name}[{part!r}]", value) for part, value in given.items()}
    if is_several(given) or (isinstance(given, (list, tuple)) and len(given) == count > 1):
        return [read(f"{name}[{part}]", value) for part, value in enumerate(given)]
    if isinstance(given, (list, tuple)) and len(given) == 1 and _has_columns(given[0]):
        given = given[0]
    if kind := stream(given):
        raise LeftToFit(f"{name} is {kind} ({type(given).__name__})")
    rows = _rows(name, given)
    if not _are_numbers(rows) or rows.ndim < 1:
        raise ValueError(
            f"{name} must be an array of numbers with a row for each example, got "
            f"{_kind(given, rows)}: {LOAD}"
        )
    if not len(rows):
        raise ValueError(f"{name} has no rows")
    return rows if rows.dtype.kind in "iub" else rows.astype(keras.config.floatx(), copy=False)


def is_several(given):
    """Whether it is a list of arrays, and not of rows."""
    return (
        isinstance(given, (list, tuple))
        and len(given) > 1
        and any(map(_has_columns, given))
        and not all(isinstance(part, (list, tuple)) for part in given)
    )


def stream(given):
    """What a person calls it that gives its rows bit by bit; None for what has them at once."""
    return next((kind for kind, is_such in STREAMS.items() if is_such(given)), None)


def _rows(name, given):
    if isinstance(given, (dict, str, bytes)):
        return np.asarray(None)
    if isinstance(given, tf.RaggedTensor):
        raise ValueError(
            f"{name} is a tf.RaggedTensor: its rows differ in length, which {name}.to_tensor() pads"
        )
    if isinstance(given, tf.SparseTensor):
        _check_room(name, given)
        return tf.sparse.to_dense(tf.sparse.reorder(given)).numpy()
    if hasattr(given, "toarray") and hasattr(given, "nnz"):  # of scipy
        _check_room(name, given)
        return given.toarray()
    if _is_frame(given):
        return _of_frame(name, given)
    if _is_column(given):
        return _of_columns(name, [(getattr(given, "name", None) or name, given)])[0]
    try:
        rows = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(given, (list, tuple)):
            _check_lengths(name, given)
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{name} is no array of numbers but a {type(given).__name__} ({reason}): {LOAD}"
        ) from None
    return _of_objects(name, rows) if rows.dtype == object and rows.ndim else rows


def _check_room(name, matrix):
    """Refuse a sparse matrix whose zeros, written out, would fill the memory."""
    needed = math.prod(map(int, matrix.shape)) * np.dtype(str(matrix.dtype.name)).itemsize
    if needed > memory_bytes() * ROOM:
        raise ValueError(
            f"{name} is a sparse matrix, and as an array its rows would take "
            f"{needed / 1e9:,.0f} GB: give a generator of batches, each as an array"
        )


def _kind(given, rows):
    kind = type(given).__name__
    if not rows.ndim:
        return kind
    kind += f" of {rows.dtype}"
    for row, values in enumerate(rows if rows.dtype == object else ()):
        other = [value for value in np.ravel(values) if not isinstance(value, REAL)]
        if other:
            return f"{kind} ({other[0]!r} in row {row})"
    return kind


def _has_columns(value):
    """Whether a list's part is an array itself, and no row."""
    try:
        return _is_frame(value) or np.ndim(value) > 1
    except ValueError:  # a row whose parts differ in length
        return False


def _are_numbers(rows):
    return rows.dtype.kind in "iubf" or rows.dtype.name == "bfloat16"


def _is_frame(given):
    ways_in = ("iloc", "iter_columns", "column_names")  # of pandas, polars and pyarrow
    return hasattr(given, "columns") and any(hasattr(given, way) for way in ways_in)


def _is_column(given):
    return hasattr(given, "to_numpy") and hasattr(given, "dtype")


def _of_frame(name, frame):
    """[N, columns], of the type that has room for every column's numbers."""
    if all(isinstance(dtype, np.dtype) for dtype in getattr(frame, "dtypes", (None,))):
        rows = np.asarray(frame)
        if _are_numbers(rows):
            return rows
    columns = _of_columns(name, list(_columns(frame)))
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _columns(frame):
    """(name, column) of each: two columns of a pandas frame may have the same name."""
    if hasattr(frame, "iloc"):
        return ((column, frame.iloc[:, at]) for at, column in enumerate(frame.columns))
    if hasattr(frame, "iter_columns"):
        return ((column.name, column) for column in frame.iter_columns())
    return zip(frame.column_names, frame.columns, strict=True)


def _of_columns(name, columns):
    """The numbers [N] of each of these (name, column)."""
    found, refused = [], []
    for label, column in columns:
        dtype = column.dtype if hasattr(column, "dtype") else column.type
        values = np.asarray(column)
        if not (_are_numbers(values) and isinstance(dtype, np.dtype)):
            missing = np.asarray(column.isna() if hasattr(column, "isna") else column.is_null())
            if missing.any() and (_are_numbers(values) or _are_real(values[~missing])):
                raise ValueError(
                    f"{name}: column {label!r} ({dtype}) has no value in row "
                    f"{int(np.argmax(missing))} ({missing.sum()} of {len(missing)} are missing): "
                    "fill them, or drop those rows"
                )
            values = values.astype(float) if _are_real(values) else values
        if not _are_numbers(values):
            refused.append(f"{label!r} ({dtype})")
        found.append(values)
    if refused:
        columns, them = ("columns", "them") if refused[1:] else ("column", "it")
        named = ", ".join(refused[:COLUMNS_NAMED])
        more = f" and {len(refused) - COLUMNS_NAMED} more" if refused[COLUMNS_NAMED:] else ""
        raise ValueError(
            f"{name}: no numbers in {columns} {named}{more}: drop {them}, or turn {them} into "
            "numbers"
        )
    return found


def _are_real(values):
    """Whether an array of objects has numbers alone."""
    return values.dtype == object and all(isinstance(value, REAL) for value in values.flat)


def _of_objects(name, rows):
    """Objects as the numbers that they are, or as they were."""
    if _are_real(rows):
        return rows.astype(float)
    if all(isinstance(value, (list, tuple, np.ndarray)) for value in rows.flat):
        _check_lengths(name, rows.tolist())
        return np.asarray(rows.tolist())
    return rows


def _check_lengths(name, rows):
    """Refuse rows of several lengths, by the first that is of another one than row 0."""
    shapes = [_shape(row) for row in rows]
    for row, shape in enumerate(shapes):
        if shape is None:
            raise ValueError(f"{name}: the parts of row {row} differ in length: pad or cut them")
        if shape != shapes[0]:
            raise ValueError(
                f"{name}: rows differ in length: row {row} has {_size(shape)} and row 0 "
                f"{_size(shapes[0])}: pad or cut them"
            )


def _shape(row):
    try:
        return np.shape(row)
    except ValueError:
        return None


def _size(shape):
    return f"{shape[0]} numbers" if len(shape) == 1 else f"the shape {shape}"
