"""Rows from numpy's files: .npy and .npz."""

import re
import zipfile

import numpy as np

from tfae.data.loaded import Loaded
from tfae.errors import DataError

LABELS = re.compile(r"y(_.*)?|labels?(_.*)?|targets?(_.*)?")
VALIDATION = ("validation", "valid", "val", "dev")
# The members of a .npz that are training rows, each with what its own rows to validate with are
# called. What is named after validation comes before a test part, which is for the end.
_OWN = {f"{prefix}{name}": "validation" for name in VALIDATION for prefix in ("x_", "")}
_OWN |= {"x_test": "test", "test": "test"}
NPZ_MEMBERS = {"x_train": _OWN, "train": _OWN, "x": {}, "rows": {}, "data": {}}


def read_npy(path):
    """The array of a .npy as "train", memory-mapped."""
    return Loaded({"train": np.lib.format.open_memmap(path, mode="r")})


def read_npz(path):
    """The rows of a .npz: x_train, train, x, rows, data, or its only array of two dimensions."""
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
                arrays = {part: np.asarray(archive[name]) for part, name in names.items()}
                return Loaded(arrays, _left_out(set(archive.files) - set(names.values())))
        if archive.files and all(map(LABELS.fullmatch, archive.files)):
            raise DataError(
                f"{path}: its members {_list(archive.files)} look like labels; add the rows, "
                "for example as x_train"
            )
        arrays = {name: np.asarray(archive[name]) for name in archive.files}
        arrays = {name: array for name, array in arrays.items() if array.ndim >= 2}
        if len(arrays) != 1:
            raise DataError(
                f"{path}: cannot tell which of its members {_list(archive.files)} are the rows; "
                "name them x_train (with x_val or x_test), train (with validation or test), x, "
                "rows or data"
            )
        (name, array), *_ = arrays.items()
        return Loaded({"train": array}, (f"took its member {name!r} for the rows",))


def _left_out(names):
    names = sorted(name for name in names if not LABELS.fullmatch(name))
    return (f"left out its members {_list(names)}",) if names else ()


def _list(names):
    return ", ".join(names) or "(none)"
