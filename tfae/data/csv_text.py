"""Rows from a .csv file."""

import csv
import io
import re
from textwrap import shorten

from tfae.data import csv_lines
from tfae.data.columns import NO_TEXT, gather
from tfae.data.csv_layout import layout
from tfae.data.numbering import leading_index
from tfae.data.rounding import called
from tfae.errors import DataError

BLOCK_BYTES = 1 << 24  # a line longer than a block is refused, and rows can be wide


def read_csv(path):
    """The numbers of a .csv file; true and false are 1 and 0.

    Raises:
        DataError: The file is empty, is no UTF-8 text, has other separators than commas, lines of
            several lengths, an empty cell or one that is no number.
    """
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ReadOptions, open_csv

    records, start = csv_lines.sample(path)
    csv_lines.refuse_other_separators(records, path)
    made = layout(records, path)
    if made.named:
        start = records[0].end
    # float64, so that what float32 loses can be seen.
    types = {
        "number": pa.float64(),
        "long": pa.int64(),
        "truth": pa.bool_(),
        "empty": pa.null(),
    }
    keys = [str(i) for i in range(len(made.names))]  # names may be there twice
    # One thread: only so does an error say in which line it is.
    how = ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=keys)
    convert = ConvertOptions(
        column_types={key: types[kind] for key, kind in zip(keys, made.kinds, strict=True)},
        # Before numbers pyarrow passes blanks by, before these it does not.
        true_values=[blank + word for blank in ("", " ") for word in ("1", "true", "True", "TRUE")],
        false_values=[
            blank + word for blank in ("", " ") for word in ("0", "false", "False", "FALSE")
        ],
    )
    empty = {i for i, kind in enumerate(made.kinds) if kind == "empty"}
    kept = [name for i, name in enumerate(made.names) if i not in empty]
    with open(path, "rb") as stream:
        stream.seek(start)
        try:
            with open_csv(stream, how, convert_options=convert) as batches:
                return gather(
                    batches,
                    made.names,
                    path,
                    skip=empty,
                    suspects=leading_index(kept) if made.named else 0,
                    notes=made.notes,
                )
        except pa.ArrowInvalid as problem:
            if made.named and len(records) == 1:
                raise DataError(
                    f"{path}: has names and no rows; give a row of numbers per line"
                ) from None
            raise _explained(problem, path, start, made) or problem from None


def _explained(problem, path, start, made):
    """The DataError for what pyarrow found, or None where it found something else."""
    pattern = r"column #(\d+): Row #(\d+): .*invalid value '(.*)'"
    cell = re.search(pattern, str(problem), re.DOTALL)
    if cell:
        column, row, text = int(cell[1]), int(cell[2]), cell[3]
        if "\ufffd" in text:
            csv_lines.refuse_other_encodings(path)
        title = called(made.names[column], column)
        line = _line_of(path, start, row)
        place = f"({shorten(text, 40)!r} in line {line})"
        if csv_lines.THOUSANDS.fullmatch(text.strip()):
            what = f"holds numbers with commas for thousands {place}; save them without"
        elif csv_lines.DECIMAL_COMMA.fullmatch(text.strip()):
            what = f"holds numbers with decimal commas {place}; save them with points"
        elif made.kinds[column] == "empty":
            what = f"is empty in the first lines, but not later {place}; fill it or drop it"
        elif made.kinds[column] in ("truth", "long"):
            begun = {"truth": "true and false", "long": "whole numbers of many digits"}
            what = f"holds {begun[made.kinds[column]]}, but not only {place}; drop or repair it"
        elif not made.named and row == 1:
            what = f"holds text {place}; {NO_TEXT}, or put a line of names above it"
        else:
            what = f"holds text {place}; {NO_TEXT}"
        return DataError(f"{path}: {title} {what}")
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(problem))
    if ragged:
        return DataError(
            f"{path}: line {_line_of(path, start, int(ragged[1]))} has {ragged[3]} cells and the "
            f"lines before have {ragged[2]}; every line needs the same number"
        )
    return None


def _line_of(path, start, row):
    """The number of the line where the row begins that pyarrow counts from 1 after `start`."""
    with open(path, "rb") as stream:
        line = 1 + len(re.findall(rb"\r\n|\r|\n", stream.read(start)))
        reader = csv.reader(io.TextIOWrapper(stream, "utf-8", "replace", newline=""))
        begin = 0
        for record in reader:
            row -= bool(record)  # blank lines do not count
            if not row:
                break
            begin = reader.line_num
        return line + begin
