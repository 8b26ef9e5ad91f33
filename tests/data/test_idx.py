"""IDX files written by struct and gzip, read back by tfae.data.idx."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from tfae.data import idx
from tfae.errors import DataError

# Published with the data set, of the uncompressed file.
MNIST_TRAIN_SHA256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"


def image_file(images, magic=2051):
    return struct.pack(">IIII", magic, *images.shape) + images.tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_reads_what_struct_wrote(tmp_path, images, name):
    path = tmp_path / name
    content = image_file(images)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    read = idx.read_images(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, images)


def test_reads_files_larger_than_a_chunk(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (3, 700, 900), np.uint8)
    assert images.size > idx.CHUNK_BYTES
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(image_file(images), 1))
    np.testing.assert_array_equal(idx.read_images(path), images)


DAMAGE = {
    "empty": (lambda content: b"", "holds 0 bytes, fewer than the 16"),
    "half a header": (lambda content: content[:9], "holds 9 bytes, fewer than the 16"),
    "too short": (lambda content: content[:-1], "promises 5 x 4 x 3 = 60 bytes, but 59 follow"),
    "too long": (lambda content: content + b"\0", "promises 5 x 4 x 3 = 60 bytes, but more follow"),
    "other magic": (lambda content: b"\x89PNG" + content[4:], "starts with magic 2303741511"),
    "labels": (lambda content: struct.pack(">II", 2049, 60) + content[16:], "look like labels"),
    "a lie": (
        lambda content: struct.pack(">IIII", 2051, *[2**32 - 1] * 3),
        "do not fit in memory",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_content_is_one_line_of_error(tmp_path, images, damage, suffix):
    change, message = DAMAGE[damage]
    content = change(image_file(images))
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError) as caught:
        idx.read_images(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_gzip_file_is_refused(tmp_path, images):
    content = gzip.compress(image_file(images))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"cut short|fewer than"):
            idx.read_images(path)


def test_gzip_with_a_wrong_checksum_is_refused(tmp_path, images):
    content = bytearray(gzip.compress(image_file(images)))
    content[-8] ^= 1
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        idx.read_images(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        idx.read_images(tmp_path / "train-images-idx3-ubyte")


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"], 0, 1),
        (["train-images.idx3-ubyte", "t10k-images.idx3-ubyte"], 0, 1),
        (["train-images-idx3-ubyte.gz", "train-images-idx3-ubyte", "readme.md"], 1, None),
        (["emnist-train-images-idx3-ubyte", "emnist-test-images-idx3-ubyte"], 0, 1),
        (["train-labels-idx1-ubyte", "train-images.png"], None, None),
    ],
)
def test_finds_images_by_name(tmp_path, names, train, test):
    for name in names:
        (tmp_path / name).touch()
    wanted = {"train": train, "test": test}
    assert idx.find_images(tmp_path) == {
        part: tmp_path / names[i] for part, i in wanted.items() if i is not None
    }


def test_two_candidates_are_ambiguous(tmp_path):
    for name in ("letters-train-images-idx3-ubyte", "digits-train-images-idx3-ubyte"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="several IDX files could be its train images"):
        idx.find_images(tmp_path)


def test_real_mnist_has_the_published_checksum(mnist_dir):
    images = idx.read_images(idx.find_images(Path(mnist_dir))["train"])
    assert images.shape == (60000, 28, 28)
    assert hashlib.sha256(image_file(images)).hexdigest() == MNIST_TRAIN_SHA256
