"""What tables of columns share: the way of their columns from pyarrow to rows."""

import numpy as np

from tfae.data.loaded import Loaded
from tfae.data.numbering import index_columns, left_out, trained_on
from tfae.data.rounding import Rounding, called
from tfae.errors import DataError

NO_TEXT = "drop it or turn it into numbers"


def gather(batches, names, path, *, skip=(), suspects=0, notes=()):
    """The rows of a table.

    Args:
        batches: Iterable of pyarrow record batches of numbers, or of lists of numbers, whose values
            become columns.
        names: Of the batches' columns; "" where one has none.
        path: The file, for messages.
        skip: Positions of columns that are left out.
        suspects: How many of the others, in front, are left out if they turn out to be an index.
        notes: Lines that come before those found here.

    Returns:
        `Loaded` of "train" [N, D], uint8 where all columns are and else float32.

    Raises:
        DataError: A cell is empty, or lists differ in length.
    """
    kept = [i for i in range(len(names)) if i not in skip]
    rounding, blocks, count, widths = Rounding(), [], 0, None
    index = [[] for _ in kept[:suspects]]
    for batch in batches:
        if not batch.num_rows:
            continue
        read = [numbers(batch.column(i), called(names[i], i), count, path) for i in kept]
        now = [values.shape[1] if values.ndim == 2 else 1 for values in read]
        if widths not in (None, now):
            i, (before, after) = next(
                (i, pair)
                for i, pair in enumerate(zip(widths, now, strict=True))
                if len({*pair}) > 1
            )
            raise _ragged(called(names[kept[i]], kept[i]), before, 0, after, count, path)
        widths = now
        for values, levels in zip(read, index, strict=False):
            levels.append(values)
        blocks.append(_block(read[suspects:], batch.num_rows, rounding, suspects))
        count += batch.num_rows
    levels = [np.concatenate(parts) if parts else np.empty(0) for parts in index]
    told = index_columns([names[i] for i in kept[:suspects]], levels)
    said = [left_out(names[i], i, values) for i, values in zip(kept, levels[:told], strict=False)]
    said += [trained_on(names[i], i) for i in kept[told:suspects]]
    for i, values in enumerate(levels[told:], told):
        rounding.look(values, i)
    flat = [
        name if width == 1 else f"{name}[{j}]"
        for name, width in zip((names[i] for i in kept), widths or [1] * len(kept), strict=True)
        for j in range(width)
    ]
    rows = _joined(levels[told:], blocks, count, len(flat) - told)
    return Loaded({"train": rows}, (*notes, *said, *rounding.notes(flat)), flat[told:])


def _block(columns, count, rounding, first):
    """The rows of columns [count] and of lists [count, width], after a look at them."""
    widths = [values.shape[1] if values.ndim == 2 else 1 for values in columns]
    whole = columns and all(values.dtype == np.uint8 for values in columns)
    block, at = np.empty((count, sum(widths)), np.uint8 if whole else np.float32), 0
    for values, width in zip(columns, widths, strict=True):
        rounding.look(values, first + at)
        with np.errstate(over="ignore"):  # becomes infinity, which is refused with the NaNs
            block[:, at : at + width] = values.reshape(count, width)
        at += width
    return block


def _joined(levels, blocks, count, width):
    whole = blocks and all(values.dtype == np.uint8 for values in (*levels, *blocks))
    rows, start = np.empty((count, width), np.uint8 if whole else np.float32), 0
    for i, values in enumerate(levels):
        rows[:, i] = values
    for block in blocks:
        rows[start : start + len(block), len(levels) :] = block
        start += len(block)
    return rows


def numbers(column, title, start, path):
    """The values of a pyarrow array, [n], or [n, width] of lists of one length.

    Args:
        column: Of booleans, numbers, decimals, categories of those, or lists of those.
        title: What the column is called in messages.
        start: The number of its first row in the table.
        path: The file, for messages.

    Raises:
        DataError: A cell is empty, or the lists differ in length.
    """
    from pyarrow import float64, types

    count, per_row, of_lists = len(column), 1, False
    while True:
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count:
            row = start + column.is_null().index(True).as_py() // max(per_row, 1)
            raise DataError(
                f"{path}: {title} has an empty cell in row {row} (counted from 0); fill it or "
                "drop the row"
            )
        if not is_list(column.type):
            break
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(lengths != lengths[:1])
        if len(odd):
            rows = start, start + int(odd[0]) // per_row
            raise _ragged(title, lengths[0], rows[0], lengths[odd[0]], rows[1], path)
        column, of_lists = column.flatten(), True
        per_row *= int(lengths[0]) if len(lengths) else 0
    if types.is_decimal(column.type):
        column = column.cast(float64())
    values = column.to_numpy(zero_copy_only=False)
    return values.reshape(count, per_row) if of_lists else values


def is_list(kind):
    """Whether a pyarrow type is one of lists."""
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def element_type(kind):
    """What numbers a pyarrow type is made of, through lists and categories."""
    from pyarrow import types

    while is_list(kind) or types.is_dictionary(kind):
        kind = kind.value_type
    return kind


def is_number(kind):
    """Whether rows can be made of a pyarrow type: booleans, integers, floats, decimals."""
    from pyarrow import types

    tests = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)
    return any(test(kind) for test in tests)


def _ragged(title, before, row_before, after, row_after, path):
    return DataError(
        f"{path}: {title} holds lists of several lengths ({before} in row {row_before}, {after} in "
        f"row {row_after}, counted from 0); make them one length or drop the column"
    )
