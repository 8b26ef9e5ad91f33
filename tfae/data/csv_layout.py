"""What the first lines of a .csv say of the rest: names or none, and what the columns hold.

Whether the first line is names cannot be seen from that line alone. Words make it names, numbers
make it a row; where it has only numbers, or both, it is compared with the lines below.
"""

import re
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from tfae.data.csv_lines import NUMBER, ODD_NUMBER
from tfae.data.rounding import called
from tfae.errors import DataError

WHOLE = re.compile(r"[+-]?\d+")
MISSING = {"na", "n/a", "n.a.", "nan", "null", "none", "nil", "missing", "#n/a", "#na"}
TRUTHS = {"true", "True", "TRUE", "false", "False", "FALSE"}  # as pyarrow takes them
FLOAT64_DIGITS = 15
SHOWN_CELLS = 4
RARE = 0.02  # a share of the rows below: what more of them do as well, says nothing
ENOUGH_SIGNS = 2


class Layout(NamedTuple):
    """How a file is to be read.

    Attributes:
        names: Of its columns, "" where it gives none.
        named: Whether the first line is names.
        kinds: Of its columns: "number", "long" (whole numbers that float64 would round), "truth"
            or "empty", which is to be left out.
        notes: What was guessed, one line each.
    """

    names: list[str]
    named: bool
    kinds: list[str]
    notes: list[str]


def layout(records, path):
    """The `Layout` of a file that begins with these records.

    Raises:
        DataError: Above the rows there is a title or a comment, or below the names a line of units.
    """
    first, below = records[0], records[1:]
    names = _completed(first.cells, below)
    _refuse_title(first, len(names), below, path)
    named, notes = _judge(first, below)
    if not named:
        names, below = [f"f{i}" for i in range(len(names))], records
    elif len(below) > 1:
        _refuse_units(*below[:2], path)
    columns = _columns(below, len(names))
    kinds = [_kind(column) for column in columns]
    empty = [i for i, kind in enumerate(kinds) if kind == "empty"]
    after = takewhile(empty.__contains__, reversed(range(1, len(kinds))))  # behind the last cell
    left = [i for i in empty if not names[i]] if named else sorted(after)
    for i in {*empty} - {*left}:
        kinds[i] = "number"  # and so is refused by its name
    notes += [f"left out {called('', i)}, which is empty" for i in left]
    return Layout(names, named, kinds, notes)


def shown(cells):
    """Some cells of a line, for a message."""
    return ", ".join(cells[:SHOWN_CELLS]) + (", ..." if len(cells) > SHOWN_CELLS else "")


def _completed(cells, below):
    """The first line's cells, with the one that other programs leave out beside an index."""
    rows = _rows(below, len(cells) + 1)
    if len(cells) < 2 or not rows or len(rows) < len(below) or any(map(NUMBER.fullmatch, cells)):
        return cells
    if not any(row[-1] for row in rows):
        return [*cells, ""]
    return ["", *cells] if _is_index([row[0] for row in rows]) else cells


def _is_index(cells):
    return bool(cells) and all(map(WHOLE.fullmatch, cells)) and len(set(cells)) == len(cells)


def _rows(records, width):
    return [record.cells for record in records if len(record.cells) == width]


def _columns(records, width):
    return list(zip(*_rows(records, width), strict=True)) or [()] * width


def _kind(cells):
    filled = {cell for cell in cells if cell}
    if cells and not filled:
        return "empty"
    if filled & TRUTHS and filled <= TRUTHS | {"0", "1"}:
        return "truth"
    long = any(len(cell) > FLOAT64_DIGITS for cell in filled)
    if long and all(WHOLE.fullmatch(cell) and abs(int(cell)) < 2**63 for cell in filled):
        return "long"
    return "number"


def _judge(first, below):
    """Whether the first line is names, and the lines that say where this was guessed."""
    cells = first.cells
    alike = [record for record in below if len(record.cells) == len(cells)]
    rows = [record.cells for record in alike]
    sorts = list(map(_sort, cells))
    for i, quoted in enumerate(first.quoted):  # where numbers below are not, it is a name
        if quoted and sorts[i] == "number" and alike and not any(r.quoted[i] for r in alike):
            sorts[i] = "word"
    numbers = [i for i, sort in enumerate(sorts) if sort == "number"]
    words, odd, gaps = (sorts.count(sort) for sort in ("word", "odd", "gap"))
    if words and not numbers and not odd:
        return True, []
    signs = _signs([cells[i] for i in numbers], [[row[i] for i in numbers] for row in rows])
    if signs and not cells[0] and _is_index([row[0] for row in rows]):
        signs += ENOUGH_SIGNS  # the corner above an index
    enough = signs >= ENOUGH_SIGNS and len(cells) > 1
    if enough or words > len(numbers) + odd + gaps:
        return True, [
            f"the first line ({shown(cells)}) was taken for names, as it is unlike the lines "
            "below; if it is a row, put a line of names above it"
        ]
    if signs and not words:
        return False, [
            f"the first line ({shown(cells)}) was taken for a row; if it is names, make them words"
        ]
    return False, []


def _sort(cell):
    """What a cell of the first line looks like: "", number, odd, gap or word."""
    if not cell:
        return ""
    if NUMBER.fullmatch(cell):
        return "number"
    if ODD_NUMBER.fullmatch(cell) or cell in TRUTHS:
        return "odd"
    gap = cell.casefold() in MISSING or not any(map(str.isalnum, cell))
    return "gap" if gap else "word"


def _signs(first, below):
    """How many things set the numbers of the first line apart from those of the lines below.

    Names differ from each other, and mostly are whole, in order and evenly spaced, or lie far
    outside their columns. Of what the lines below do as well, none counts: a table may hold ranks
    or windows of a ramp.

    Args:
        first: [k] cells.
        below: [n][k] cells.
    """
    below = [row for row in below if all(map(NUMBER.fullmatch, row))]
    if not first or len(below) < 2 or len(set(first)) < len(first) or first in below:
        return 0
    one, rows = np.array([first], float), np.array(below, float)
    with np.errstate(all="ignore"):
        outside = _outside(one[0], rows)
        even = [test for test in (_steps_by_one, _even) if test(one)[0]]
        # A row far outside is no row like the others, whatever these do.
        signs = outside + sum(outside or _is_rare(test(rows)) for test in even)
        signs += bool(_ordered(one)[0]) and _is_rare(_ordered(rows))
        counts = _steps_by_one in even and len(first) > 2 and one[0, 0] in (0, 1)
        signs += counts and not _steps_by_one(rows)[0]
    for spelled in (all, lambda whole: not any(whole)):
        alike = [spelled([bool(WHOLE.fullmatch(cell)) for cell in row]) for row in (first, *below)]
        signs += alike[0] and _is_rare(alike[1:])
    return signs


def _is_rare(found):
    return bool(np.mean(found) <= RARE)


def _steps_by_one(rows):
    return (np.diff(rows, axis=1) == 1).all(axis=1) & (rows.shape[1] > 1)


def _even(rows):
    steps = np.diff(rows, axis=1)
    even = np.isclose(steps, steps[:, :1], 1e-6, 0).all(axis=1)
    return even & (steps != 0).all(axis=1) & (rows.shape[1] > 2)


def _ordered(rows):
    steps = np.diff(rows, axis=1)
    return ((steps > 0).all(axis=1) | (steps < 0).all(axis=1)) & (rows.shape[1] > 2)


def _outside(one, rows):
    """1 where most numbers lie farther outside their column than it is wide, 2 where all do."""
    if len(rows) < 3:
        return 0
    low, high = rows.min(axis=0), rows.max(axis=0)
    share = np.mean(np.maximum(low - one, one - high) > high - low)
    return 2 if share == 1 and len(rows) >= 5 else int(share > 0.5)


def _refuse_title(first, width, below, path):
    widths = [len(record.cells) for record in below]
    usual = max(set(widths), key=widths.count, default=0)
    if (
        width < usual
        and 2 * widths.count(usual) > len(widths)
        and _sort(first.cells[0]) != "number"
    ):
        raise DataError(
            f"{path}: line {first.line} ({shown(first.cells)!r}) has {width} cell"
            f"{'' if width == 1 else 's'} and the lines below have {usual}; delete it if it is a "
            "comment or a title, else let it name every column"
        )


def _refuse_units(line, after, path):
    usual = [cell for cell in after.cells if NUMBER.fullmatch(cell)]
    sorts = set(map(_sort, line.cells))
    if (
        usual
        and 2 * len(usual) >= len(after.cells)
        and sorts <= {"", "word", "gap"}
        and any(line.cells)
    ):
        raise DataError(
            f"{path}: line {line.line} ({shown(line.cells)!r}) is no row of numbers, as the next "
            "is; delete it if it holds units, a second line of names or gaps"
        )
