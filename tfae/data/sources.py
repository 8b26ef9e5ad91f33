"""Where training rows come from: MNIST, TFDS, arrays and tables on disk, the built-in digits."""

import hashlib
import os
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from tfae.data import checks, idx, mnist, tables, tfds
from tfae.data.loaded import Loaded
from tfae.errors import DataError
from tfae.nn.randomness import generator

CHUNK_VALUES = 1 << 22  # values looked at or converted at a time: a few dozen MB
MNIST_WIDTH = 784


@dataclass(frozen=True, eq=False)
class RowsOnDisk:
    """Rows of a memory-mapped array that is too big to keep in memory.

    Attributes:
        mapped: [M, ...] of any real dtype; a row is whatever follows the first axis, flattened.
        index: [N] int64, ascending: which of the M rows these are, so that reading is nearly
            sequential.
    """

    mapped: np.ndarray
    index: np.ndarray

    @property
    def shape(self):
        """(N, D)."""
        return len(self.index), prod(self.mapped.shape[1:])

    @property
    def dtype(self):
        """uint8 where the file holds that, else float32."""
        return _row_dtype(self.mapped)

    def __getitem__(self, part):
        """The rows of a slice, [n, D] C-contiguous, read from disk."""
        index = self.index[part]
        rows = np.empty((len(index), self.shape[1]), self.dtype)
        for part in _chunks(rows.shape):
            rows[part] = self.mapped[index[part]].reshape(-1, rows.shape[1])
        return rows


@dataclass(frozen=True, eq=False)
class Source:
    """Checked rows, and what a run should say about them.

    Attributes:
        name: "mnist", "glyphs", "tfds:NAME" or the file's stem.
        title: The name for plots.
        origin: Where the rows came from, in one phrase.
        reason: Why this source was taken rather than another; "" where it was asked for.
        train: [N, D] uint8 or float32, C-contiguous, or the same on disk.
        validation: [M, D], the same dtype, C-contiguous.
        image_shape: (height, width) or (height, width, channels) where a row is a flattened image,
            else None.
        validation_from: Which rows validate, in one phrase.
        validation_index: [M] int64, which rows of the file those are, from 0; None where the data
            set has a part for them.
        notes: What was guessed or left out, and what float32 loses, one line each.
    """

    name: str
    title: str
    origin: str
    reason: str
    train: np.ndarray | RowsOnDisk
    validation: np.ndarray
    image_shape: tuple[int, ...] | None
    validation_from: str
    validation_index: np.ndarray | None
    notes: tuple[str, ...] = ()

    def sha256(self):
        """Of the training and validation rows, their shapes and dtypes; 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for rows in (self.train, self.validation):
            digest.update(f"{rows.dtype} {rows.shape[0]} {rows.shape[1]}\n".encode())
            for part in _chunks(rows.shape):
                digest.update(rows[part])
        return digest.hexdigest()


def load(
    dataset: str,
    data_dir: str | None = None,
    *,
    validation_fraction: float = 0.1,
    seed: int = 0,
    block_rows: int = 0,
    quiet: bool = False,
) -> Source:
    """Finds, reads, checks and splits the rows of a data set.

    Prints nothing but the progress of a download or of drawing the built-in digits.

    Args:
        dataset: auto (MNIST, or else glyphs), mnist, glyphs, tfds:NAME, or the path of a .npy,
            .npz, .csv or .parquet file or of a folder of IDX files.
        data_dir: Where MNIST's files or prepared TFDS copies are; None looks at $TFAE_DATA_DIR.
        validation_fraction: How much of the rows validates where the data set has no part for it.
        seed: Of that split; the same seed makes the same split.
        block_rows: Above 0, the rows of a .npy stay on disk. They do so anyway where they are
            larger than a quarter of the memory.
        quiet: Whether no progress is shown.

    Raises:
        DataError: The rows cannot be had, or are not fit to train on.
    """
    try:
        parts, described = _find(dataset, data_dir, quiet)
        return _source(parts, described, validation_fraction, seed, block_rows)
    except MemoryError:
        raise DataError(
            f"--dataset {dataset}: its rows do not fit in memory; save them as a .npy, which can "
            "stay on disk, or use fewer"
        ) from None
    except OSError as problem:
        raise DataError(
            f"--dataset {dataset}: {problem.strerror or problem} ({problem.filename}); check the "
            "path and its mode"
        ) from None


def _find(dataset, data_dir, quiet):
    """The `Loaded`, and the first four fields of Source."""
    reason = ""
    if dataset in ("auto", "mnist"):
        parts, origin, missing = mnist.load(data_dir, required=dataset == "mnist", quiet=quiet)
        if parts:
            if data_dir or os.environ.get("TFAE_DATA_DIR"):
                reason = ", ".join(missing)
            return Loaded(parts), ("mnist", "MNIST", origin, reason)
        reason = f"no MNIST was found: {', '.join(missing[:-1])}, and {missing[-1]}"
    if dataset in ("auto", "glyphs"):
        from tfae.data import glyphs  # loads matplotlib

        digits = glyphs.load(seed=0, quiet=quiet)
        parts = {"train": digits.train_images, "test": digits.test_images}
        origin = "drawn from matplotlib's fonts, seed 0"
        title = "built-in digits (no MNIST found)" if reason else "built-in digits (not MNIST)"
        return Loaded(parts), ("glyphs", title, origin, reason)
    if dataset.startswith("tfds:"):
        name = dataset.removeprefix("tfds:")
        if not re.fullmatch(r"[\w-]+(/[\w.-]+)*(:\d+\.\d+\.\d+)?", name):
            raise DataError(f"--dataset {dataset}: give it as tfds:NAME, tfds:NAME/CONFIG:1.2.3")
        parts, copy = tfds.load(name, data_dir, quiet)
        return Loaded(parts), (dataset, f"{name} (TFDS)", f"TFDS copy in {copy}", "")
    path = Path(dataset).expanduser()
    return _read(path), (path.resolve().stem, _printable(path.resolve().name), str(path), "")


def _printable(name):
    """A file's name for titles: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()


def _read(path):
    """The `Loaded` of a file or folder."""
    if not path.exists():
        raise DataError(
            f"--dataset {path}: there is no such file or folder; allowed are auto, mnist, glyphs, "
            f"tfds:NAME, or the path of a file ({', '.join(tables.READERS)}) or of a folder of IDX "
            "files"
        )
    if not path.is_dir():
        return tables.read(path)
    files = idx.find_images(path)
    if "train" not in files:
        raise DataError(
            f"{path}: this folder holds no IDX images for training; they are called "
            "train-images-idx3-ubyte, and t10k-images-idx3-ubyte for validation (or .gz)"
        )
    return Loaded({part: idx.read_images(file) for part, file in files.items()})


def _source(parts, described, validation_fraction, seed, block_rows):
    origin, arrays = described[2], parts.arrays
    array = arrays["train"]
    notes = [*parts.notes]
    for part, rows in arrays.items():
        where = origin if len(arrays) == 1 else f"{origin}, {part} rows"
        found = checks.check(rows, where, _chunks, parts.names)
        if part == "train":
            notes += found
    if len(arrays) == 2:
        (part, own) = list(arrays.items())[1]
        _check_alike(array, own, part, origin)
        train, validation, index = _flat(array), _flat(own), None
        validation_from = f"its own {part} part"
    else:
        if len(array) < 3:
            raise DataError(
                f"{origin}: holds {checks.counted(len(array))}; at least 3 are needed, 2 to train "
                "on and 1 to validate with"
            )
        train, validation = _split(array, validation_fraction, seed)
        if not _stays_on_disk(array, block_rows):
            train = train[:]
        validation, index = validation[:], validation.index
        validation_from = f"{100 * validation_fraction:g} % of the rows, split by seed {seed}"
    shape = _image_shape(array)
    return Source(
        *described,
        train,
        validation,
        shape,
        validation_from,
        index,
        (*(f"{origin}: {note}" for note in notes),),
    )


def _split(array, fraction, seed):
    """Training and validation rows, disjoint, together all, each in the file's order."""
    count = len(array)
    held = min(max(1, round(count * fraction)), count - 2)
    order = generator(seed, "split").permutation(count)
    return RowsOnDisk(array, np.sort(order[held:])), RowsOnDisk(array, np.sort(order[:held]))


def _stays_on_disk(array, block_rows):
    if not isinstance(array, np.memmap):
        return False
    in_memory = array.size * _row_dtype(array).itemsize
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return block_rows > 0 or max(array.nbytes, in_memory) > memory / 4


def _flat(array):
    return np.ascontiguousarray(array.reshape(len(array), -1), _row_dtype(array))


def _row_dtype(array):
    return np.dtype(np.uint8 if array.dtype == np.uint8 else np.float32)


def _image_shape(array):
    shape = array.shape[1:]
    if shape == (MNIST_WIDTH,):
        return 28, 28
    if len(shape) == 3 and shape[2] == 1:
        return shape[:2]
    drawable = len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    return shape if drawable else None


def _chunks(shape):
    """Slices over the rows of a shape (N, D), each of about CHUNK_VALUES values."""
    step = max(1, CHUNK_VALUES // shape[1])
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def _check_alike(train, own, part, origin):
    if train.shape[1:] != own.shape[1:]:
        raise DataError(
            f"{origin}: train rows have the shape {train.shape[1:]} and {part} rows "
            f"{own.shape[1:]}; both must be the same"
        )
    if _row_dtype(train) != _row_dtype(own):
        raise DataError(
            f"{origin}: train rows are {train.dtype} and {part} rows {own.dtype}; save both alike, "
            "as one is divided by 255 and the other is not"
        )
    if len(train) < 2:
        raise DataError(
            f"{origin}: holds {checks.counted(len(train))} to train on; at least 2 are needed"
        )
