"""Rows from files of arrays and tables: .npy, .npz, .csv and .parquet."""

import csv
import re
import struct
import tokenize
import zipfile
import zlib
from textwrap import shorten

import numpy as np

from tfae.errors import DataError

# What numpy, zipfile and pyarrow raise for damaged files, as far as random damage brought it out.
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ArithmeticError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
    csv.Error,
)
# The members of a .npz that are training rows, each with what its own validation rows are called.
NPZ_MEMBERS = {
    "x_train": {"x_test": "test", "x_val": "validation"},
    "train": {"test": "test", "validation": "validation"},
    "x": {},
    "rows": {},
    "data": {},
}
CSV_BLOCK_BYTES = 1 << 24  # a line longer than a block is refused, and rows can be wide
NO_TEXT = "drop it or turn it into numbers"


def read(path):
    """The arrays in a file.

    A .npy is memory-mapped, everything else is read into memory. A .npz gives x_train (with x_test
    or x_val), train (with test or validation), x, rows, data, or its only array of two or more
    dimensions. A .csv holds numbers between commas, below a header if anything in its first line
    is not a number. A .parquet holds columns of numbers, or one column of fixed-size lists.

    Args:
        path: The Path of an existing file.

    Returns:
        A dict with the array "train" and, where the file has one, "test" or "validation": from
        .npy and .npz in any shape and any dtype but Python objects, from tables [N, D] uint8
        (where every column is) or float32.

    Raises:
        DataError: The suffix is none of the four, the file cannot be read, or it does not hold
            what it should.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(
            f"{path}: the suffix {suffix!r} is not understood; use {', '.join(READERS)} or a "
            "folder of IDX files"
        )
    try:
        return READERS[suffix](path)
    except DataError:
        raise
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied); change its mode") from None
    except DAMAGE as problem:
        if re.search("Python objects|Object arrays", str(problem)):
            raise DataError(
                f"{path}: holds Python objects, which are never loaded; save its rows as an array "
                "of numbers, such as float32"
            ) from None
        raise DataError(
            f"{path}: is damaged, cut short or no {suffix} file "
            f"({shorten(str(problem), 160) or type(problem).__name__}); "
            "make or download it again"
        ) from None


def _npy(path):
    return {"train": np.lib.format.open_memmap(path, mode="r")}


def _npz(path):
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: is cut short or no .npz file (a zip archive); make or download it again"
        )
    # numpy itself leaves a file open where the archive turns out to be damaged
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
        for train, others in NPZ_MEMBERS.items():
            if train in archive.files:
                own = [name for name in others if name in archive.files][:1]
                names = {"train": train} | {others[name]: name for name in own}
                # asarray: a member that is no .npy comes as bytes
                return {part: np.asarray(archive[name]) for part, name in names.items()}
        if archive.files and all(name.startswith(("y", "label")) for name in archive.files):
            raise DataError(
                f"{path}: its members {_list(archive.files)} look like labels; add the rows, "
                "for example as x_train"
            )
        arrays = [np.asarray(archive[name]) for name in archive.files]
        arrays = [array for array in arrays if array.ndim >= 2]
        if len(arrays) != 1:
            raise DataError(
                f"{path}: cannot tell which of its members {_list(archive.files)} are the rows; "
                "name them x_train (with x_test or x_val), train (with test or validation), x, "
                "rows or data"
            )
        return {"train": arrays[0]}


def _csv(path):
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ReadOptions, open_csv

    first = _first_line(path)
    header = not all(_is_number(cell) for cell in first if cell)
    columns = first if header else [f"f{i}" for i in range(len(first))]  # pyarrow's own names
    try:
        with open_csv(
            path,
            # One thread: only so does an error say in which line it is.
            ReadOptions(
                use_threads=False,
                block_size=CSV_BLOCK_BYTES,
                autogenerate_column_names=not header,
            ),
            convert_options=ConvertOptions(column_types=dict.fromkeys(columns, pa.float32())),
        ) as batches:
            return {"train": _rows(batches, batches.schema, path)}
    except pa.ArrowInvalid as problem:
        pattern = r"column #(\d+): Row #(\d+): .*invalid value '(.*)'"
        text = re.search(pattern, str(problem), re.DOTALL)
        separator = re.search("[;\t|]", first[0])
        if separator and len(first) == 1:
            raise DataError(
                f"{path}: its cells are separated by {separator[0]!r}; save it with commas "
                "instead, and decimal points"
            ) from None
        if text:
            raise DataError(
                f"{path}: column {columns[int(text[1])]!r} holds text ({shorten(text[3], 40)!r} "
                f"in line {text[2]}); {NO_TEXT}"
            ) from None
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(problem))
        if ragged:
            raise DataError(
                f"{path}: line {ragged[1]} has {ragged[3]} cells and the lines before have "
                f"{ragged[2]}; every line needs the same number"
            ) from None
        raise


def _first_line(path):
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as stream:
        for line in csv.reader(stream):
            if line:
                return line
    raise DataError(f"{path}: is empty; give a file with a row of numbers per line")


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parquet(path):
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        return {"train": _rows(file.iter_batches(), file.schema_arrow, path)}


def _rows(batches, schema, path):
    """Rows [N, D] from an iterable of pyarrow record batches of that schema."""
    from pyarrow import types

    lists = len(schema) == 1 and types.is_fixed_size_list(schema.field(0).type)
    elements = [field.type.value_type if lists else field.type for field in schema]
    for field, element in zip(schema, elements, strict=True):
        if not (
            types.is_integer(element) or types.is_floating(element) or types.is_boolean(element)
        ):
            raise DataError(f"{path}: column {field.name!r} holds {field.type}; {NO_TEXT}")
    width = schema.field(0).type.list_size if lists else len(schema)
    dtype = np.uint8 if elements and all(map(types.is_uint8, elements)) else np.float32
    blocks, start = [np.empty((0, width), dtype)], 0
    for batch in batches:
        block = np.empty((batch.num_rows, width), dtype)
        for i, column in enumerate(batch.columns):
            _refuse_nulls(column, schema.field(i).name, start, 1, path)
            if lists:
                column = column.flatten()
                _refuse_nulls(column, schema.field(i).name, start, width, path)
            values = column.to_numpy(zero_copy_only=False)
            with np.errstate(over="ignore"):  # becomes infinity, which is refused with the NaNs
                block[:, i : width if lists else i + 1] = values.reshape(len(block), -1)
        blocks.append(block)
        start += len(block)
    return np.concatenate(blocks)


def _refuse_nulls(column, name, start, per_row, path):
    if column.null_count:
        row = start + column.is_null().index(True).as_py() // per_row
        raise DataError(
            f"{path}: column {name!r} has an empty cell in row {row} (counted from 0); fill it or "
            "drop the row"
        )


def _list(names):
    return ", ".join(names) or "(none)"


READERS = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
