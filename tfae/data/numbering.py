"""Columns that number the rows: an index that some program wrote beside the data."""

import re

import numpy as np

from tfae.data.rounding import called

# What pandas calls an index that had no name, in the file and when it reads that back.
INDEX_NAME = re.compile(r"|Unnamed: \d+(\.\d+)*|index|level_\d+|__index_level_\d+__")
COUNTER_NAME = re.compile(r"Unnamed: \d+(\.\d+)*|__index_level_\d+__")  # nobody's own
FEWEST_ROWS = 10  # of fewer, a column counts up by chance
HEAD_ROWS = 64


def leading_index(names):
    """How many columns in front may be an index by their names; never all of them."""
    count = 0
    while count < len(names) - 1 and INDEX_NAME.fullmatch(names[count]):
        count += 1
    return count


def index_columns(names, columns):
    """How many of the columns in front are an index.

    That are whole numbers, together never the same twice; and whatever has a name that only a
    program gives.

    Args:
        names: Of the columns.
        columns: List of arrays [N], which stand in front of others that have names.
    """
    whole = given = 0
    while whole < len(columns) and _is_whole(columns[whole]):
        whole += 1
    while given < len(columns) and COUNTER_NAME.fullmatch(names[given]):
        given += 1
    found = next((count for count in range(whole, 0, -1) if _all_differ(columns[:count])), 0)
    return max(found, given)


def left_out(name, column, values):
    """The line that says that a column [N] of an index was left out."""
    low, high = values.min(initial=0), values.max(initial=0)
    counts = low in (0, 1) and high - low == len(values) - 1
    what = "is an index by its name"
    if _is_whole(values) and _all_differ([values]):
        what = "numbers the rows" if counts else "is an index: whole numbers that tell rows apart"
    return f"left out {called(name, column)}, which {what}; give it a name of its own to keep it"


def trained_on(name, column):
    """The line that says that a column without a name of its own is trained on."""
    return f"{called(name, column)} stands in front and is trained on; drop it if it is an index"


def numbering_notes(rows, names=None):
    """A line for each column that counts the rows, in whatever order, but stays.

    Args:
        rows: [N, D] of any real dtype, in memory or not.
        names: [D] or None.
    """
    count = len(rows)
    if rows.ndim != 2 or rows.dtype == np.uint8 or count < FEWEST_ROWS:
        return []
    head = np.sort(np.asarray(rows[:HEAD_ROWS]), axis=0)
    with np.errstate(all="ignore"):
        suspect = (head == np.rint(head)).all(axis=0) & (head[1:] != head[:-1]).all(axis=0)
        suspect &= head[-1] < head[0] + np.float64(count)
    lines = []
    for column in np.flatnonzero(suspect):
        values = np.sort(rows[:, column])
        if (np.diff(values) == 1).all():
            name = called(names[column], column) if names else f"column {column}"
            lines.append(
                f"{name} counts the rows, {values[0]:.0f} to {values[-1]:.0f}, and is trained on; "
                "drop it unless it means something"
            )
    return lines


def _is_whole(values):
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def _all_differ(columns):
    if len(columns) == 1:
        return len(np.unique(columns[0])) == len(columns[0])
    return len(np.unique(np.stack(columns, axis=1), axis=0)) == len(columns[0])
