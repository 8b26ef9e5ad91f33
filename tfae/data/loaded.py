"""What a reader gives: arrays, and what is to be said about them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Loaded(NamedTuple):
    """The arrays of a file or folder, as stored.

    Attributes:
        arrays: "train" [N, ...] and, where there are rows to validate with, "validation" or "test".
        notes: What was guessed or left out, and what float32 loses, one line each.
        names: [D] of a table's columns. Where they are given, what float32 loses of the columns
            has been looked at; of other arrays it has not.
    """

    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    names: Sequence[str] | None = None
