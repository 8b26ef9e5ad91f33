"""What float32, in which rows are kept, loses of the numbers in a file."""

import numpy as np

WHOLE_LIMIT = 2.0**24  # float32 has every whole number up to here
FLOAT64_WHOLE_LIMIT = 2.0**53
COUNTED_ROWS = 65_536
NAMED_COLUMNS = 3
# A range of fewer steps of float32 is looked at: what of the steps of wider numbers is left, and
# of float32 itself, where the rounding was done before, whether nearly every step is taken.
WIDE_STEPS = 4096
FLOAT32_STEPS = 64


def called(name, column):
    """A column in a message, by its name, or by its number where it has none."""
    return f"column {name!r}" if name else f"column {column + 1} (without a name)"


class Rounding:
    """Looks at columns, block by block, before they become float32.

    A column counts as rounded where different values of it fall together, and it is not one of
    numbers with a fraction whose range float32 cuts into thousands of steps; of whole numbers, such
    as ids, also where one is changed.
    """

    def __init__(self):
        self._limits = {}  # first column of a block -> [d] lowest and [d] highest values so far
        self._found = {}  # column -> the message's end, whether that holds whatever the range is

    def look(self, block, first=0):
        """Takes in values [n] of the column `first`, or [n, d] of that and the columns after it."""
        if not len(block) or block.dtype.kind not in "iuf" or block.dtype.itemsize <= 2:
            return
        limits = [np.atleast_1d(block.min(axis=0)), np.atleast_1d(block.max(axis=0))]
        low, high = (limit.astype(np.float64) for limit in limits)
        wide = block.dtype != np.float32
        suspect = _steps(low, high) < (WIDE_STEPS if wide else FLOAT32_STEPS)
        if wide:
            suspect |= np.maximum(-low, high) > WHOLE_LIMIT
        suspect &= (limits[0] < limits[1]) & np.isfinite(low) & np.isfinite(high)
        before = self._limits.get(first, (low, high))
        self._limits[first] = np.minimum(before[0], low), np.maximum(before[1], high)
        for i in np.flatnonzero(suspect):
            column = first + int(i)
            if column not in self._found:
                values = block[:COUNTED_ROWS] if block.ndim == 1 else block[:COUNTED_ROWS, i]
                self._count(column, values, limits[0][i].item(), limits[1][i].item())

    def _count(self, column, values, low, high):
        with np.errstate(over="ignore"):  # becomes infinity, which is refused
            after = len(np.unique(values.astype(np.float32)))
        if values.dtype == np.float32:
            if after > _steps(np.float64(low), np.float64(high)) / 2:
                what = (
                    "lies so far from zero for its range that float32 leaves it "
                    f"{after} different values; subtract an offset before rounding, or drop it"
                )
                self._found[column] = what, False
            return
        before = len(np.unique(values))
        whole = values.dtype.kind in "iu" or (
            max(-low, high) <= FLOAT64_WHOLE_LIMIT and bool((values == np.rint(values)).all())
        )
        changed = whole and int((values.astype(np.float32).astype(np.float64) != values).sum())
        if after == before and not changed:
            return
        edge = f"up to {int(high):,}" if high >= -low else f"down to {int(low):,}"
        what = (
            f"holds whole numbers {edge}, which float32 rounds"
            if whole
            else "lies so far from zero for its range that float32 rounds it"
        )
        if after == before:
            what += f": {changed:,} of {len(values):,} are changed"
        else:
            what += f": {before:,} different values in {len(values):,} rows become {after:,}"
        self._found[column] = f"{what}; subtract an offset or drop it", whole

    def notes(self, names=None):
        """A line for each of the first columns that are rounded, and one for the rest.

        Args:
            names: [D] the columns' names, or None where they have only numbers.
        """
        lines = []
        for column, (what, always) in sorted(self._found.items()):
            if always or self._steps_of(column) < WIDE_STEPS:
                name = called(names[column], column) if names else f"column {column}"
                lines.append(f"{name} {what}")
        more = len(lines) - NAMED_COLUMNS
        if more > 0:
            rest = f"float32 rounds {more} more column{'' if more == 1 else 's'} in the same way"
            lines[NAMED_COLUMNS:] = [rest]
        return lines

    def _steps_of(self, column):
        first = max(start for start in self._limits if start <= column)
        low, high = (limit[column - first] for limit in self._limits[first])
        return _steps(low, high)


def _steps(low, high):
    """How many steps of float32, as wide as they are at the end farther from zero."""
    with np.errstate(all="ignore"):
        step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
        return (high - low) / step + 1
