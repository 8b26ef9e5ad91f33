"""Rows from a file: which reader takes it, and what is said of a damaged one."""

import re
from textwrap import shorten

from tfae.data.arrays import read_npy, read_npz
from tfae.data.csv_text import read_csv
from tfae.data.parquet import read_parquet
from tfae.errors import DataError
from tfae.host.files import DAMAGE

READERS = {".npy": read_npy, ".npz": read_npz, ".csv": read_csv, ".parquet": read_parquet}


def read(path):
    """The arrays in a file.

    A .npy is memory-mapped, everything else is read into memory. A .npz gives x_train (with x_val,
    x_valid or x_validation, or else x_test), train (with val, valid or validation, or else test),
    x, rows, data, or its only array of two or more dimensions. A .csv holds numbers, true or false
    between commas, below a header or not. A .parquet holds columns of numbers, or of lists of one
    length, whose values are columns then. An index is left out.

    Args:
        path: The Path of an existing file.

    Returns:
        `Loaded`: "train" and, where the file has one, "validation" or "test": from .npy and .npz
        in any shape and any dtype but Python objects, from tables [N, D] uint8 (where every column
        is) or float32.

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
