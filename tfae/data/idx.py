"""The IDX file format, in which MNIST is published.

A file is a big-endian header, four bytes of magic (0, 0, the element type, the number of
dimensions) and one 32-bit size per dimension, followed by the elements in C order. Images are
three-dimensional unsigned bytes, magic 2051; labels are one-dimensional, magic 2049.
"""

import gzip
import re
import struct
import zlib
from math import prod

import numpy as np

from tfae.errors import DataError

IMAGES = re.compile(r"(?:.+-)?(train|t10k|test)-images.*idx.*")
IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
CHUNK_BYTES = 1 << 20


def find_images(folder, pattern=IMAGES):
    """The image files in a folder, by their names; a plain file is preferred to its `.gz`.

    Args:
        folder: The Path of an existing folder.
        pattern: A compiled expression for file names whose group 1 is train, t10k or test.

    Returns:
        A dict with the paths "train" and "test", as far as they are there.

    Raises:
        DataError: Several different files could be the same part.
    """
    found = {"train": {}, "test": {}}
    for path in sorted(folder.iterdir()):  # sorted: a plain file comes before its .gz
        match = pattern.fullmatch(path.name)
        if match and path.is_file():
            stem = path.name.removesuffix(".gz").replace(".", "-")  # both spellings of MNIST
            found["train" if match[1] == "train" else "test"].setdefault(stem, path)
    for part, paths in found.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths.values())
            raise DataError(
                f"{folder}: several IDX files could be its {part} images ({names}); keep one of "
                "them in the folder"
            )
    return {part: next(iter(paths.values())) for part, paths in found.items() if paths}


def read_images(path):
    """The images of an IDX file, plain or gzip-compressed (by its suffix, `.gz`).

    Args:
        path: The file's Path.

    Returns:
        [N, height, width] uint8.

    Raises:
        DataError: The file cannot be read, is damaged, does not hold images, or is shorter or
            longer than its header says.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as stream:
            return _elements(stream, _shape(stream, path), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(
            f"{path}: the gzip data is damaged or cut short ({problem}); download it again"
        ) from None
    except OSError as problem:
        raise DataError(
            f"{path}: cannot be read ({problem.strerror or problem}); check the file and its mode"
        ) from None


def _shape(stream, path):
    header = stream.read(16)
    magic = int.from_bytes(header[:4], "big")
    if len(header) >= 4 and magic == LABELS_MAGIC:
        raise DataError(
            f"{path}: these look like labels (IDX magic {LABELS_MAGIC}) where images (magic "
            f"{IMAGES_MAGIC}) should be; put the images file in its place"
        )
    if len(header) >= 4 and magic != IMAGES_MAGIC:
        raise DataError(
            f"{path}: starts with magic {magic}, where IDX images start with {IMAGES_MAGIC}; "
            "download it again"
        )
    if len(header) < 16:
        raise DataError(
            f"{path}: holds {len(header)} bytes, fewer than the 16 of an IDX header; "
            "download it again"
        )
    return struct.unpack(">III", header[4:])


def _elements(stream, shape, path):
    """Exactly the bytes that the header promises, read into one array without a second copy."""
    size = prod(shape)
    promise = f"{path}: its header promises {' x '.join(map(str, shape))} = {size} bytes"
    try:
        elements = np.empty(size, np.uint8)
    except (MemoryError, ValueError):
        raise DataError(f"{promise}, which do not fit in memory; download it again") from None
    view, got = memoryview(elements), 0
    while got < size and (count := stream.readinto(view[got : got + CHUNK_BYTES])):
        got += count
    if got < size:
        raise DataError(f"{promise}, but {got} follow; download it again")
    if stream.read(1):
        raise DataError(f"{promise}, but more follow; download it again")
    return elements.reshape(shape)
