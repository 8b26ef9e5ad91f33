"""What load makes of files, folders and the built-in digits: checks, conversion, split, disk."""

import gzip
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfae.data
from tfae.data import sources, tfds
from tfae.errors import DataError

MNIST_BYTES = 60000 * 784


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(tfds, "PROBE_URL", "http://nowhere.invalid/file")


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((50, 6), np.float32)


def saved(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    return str(tmp_path / "a.npy")


def refusal(dataset):
    with pytest.raises(DataError) as caught:
        sources.load(str(dataset))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_file_of_rows(tmp_path, rows):
    path = saved(tmp_path, rows)
    source = sources.load(path, seed=3)
    assert (source.name, source.title, source.origin) == ("a", "a.npy", path)
    assert source.reason == ""
    assert source.image_shape is None
    assert source.validation_from == "10 % of the rows, split by seed 3"
    assert type(source.train) is np.ndarray


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.25, 0.999])
def test_split_is_disjoint_complete_seeded_and_in_order(tmp_path, fraction):
    numbers = np.arange(50, dtype=np.float32)
    path = saved(tmp_path, np.stack([numbers, -numbers], axis=1))
    source = sources.load(path, validation_fraction=fraction, seed=1)
    train, validation = source.train[:, 0], source.validation[:, 0]
    assert len(validation) == {0.001: 1, 0.1: 5, 0.25: 12, 0.999: 48}[fraction]
    assert sorted([*train, *validation]) == list(numbers)
    assert (np.diff(train) > 0).all()
    again = sources.load(path, validation_fraction=fraction, seed=1)
    other = sources.load(path, validation_fraction=fraction, seed=2)
    np.testing.assert_array_equal(again.validation, source.validation)
    assert not np.array_equal(other.validation, source.validation)
    assert again.sha256() == source.sha256() != other.sha256()


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        (np.array([[0, 255]] * 4, np.uint8), np.uint8),
        (np.array([[True, False]] * 4), np.float32),
        (np.array([[-3, 70000]] * 4, np.int64), np.float32),
        (np.array([[0.5, 1e30]] * 4, np.float64), np.float32),
        (np.array([[0.5, 2]] * 4, np.float16), np.float32),
        (np.array([[0.5, 2]] * 4, ">f4"), np.float32),
        (np.asfortranarray(np.array([[1, 2]] * 4, np.float32)), np.float32),
    ],
)
def test_dtypes(tmp_path, stored, dtype):
    source = sources.load(saved(tmp_path, stored))
    for part in (source.train, source.validation):
        assert part.dtype == dtype
        assert part.flags.c_contiguous
        np.testing.assert_array_equal(part, stored[: len(part)].astype(dtype))


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((4, 784), (28, 28)),
        ((4, 100), None),
        ((4, 5, 7), (5, 7)),
        ((4, 28, 28, 1), (28, 28)),
        ((4, 32, 32, 3), (32, 32, 3)),
        ((4, 2, 2, 2, 2), None),
    ],
)
def test_images_become_rows(tmp_path, shape, image_shape):
    stored = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.savez(tmp_path / "a.npz", x_train=stored, x_test=stored[:2])
    source = sources.load(str(tmp_path / "a.npz"))
    assert source.image_shape == image_shape
    assert source.validation_from == "its own test part"
    np.testing.assert_array_equal(source.train, stored.reshape(4, -1))
    np.testing.assert_array_equal(source.validation, stored[:2].reshape(2, -1))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_tables_are_split_too(tmp_path, rows, suffix):
    path = tmp_path / f"readings.{suffix}"
    if suffix == "csv":
        np.savetxt(path, rows, "%.9g", delimiter=",")
    elif suffix == "npz":
        np.savez(path, x=rows)
    else:
        pq.write_table(pa.table({f"c{i}": rows[:, i] for i in range(6)}), path)
    source = sources.load(str(path), block_rows=8)
    assert source.name == "readings"
    assert source.sha256() == sources.load(saved(tmp_path, rows)).sha256()


def test_folder_of_idx_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5), np.uint8)
    content = struct.pack(">IIII", 2051, *images.shape) + images.tobytes()
    (tmp_path / "letters-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    source = sources.load(str(tmp_path))
    assert source.image_shape == (4, 5)
    assert (len(source.train), len(source.validation)) == (8, 1)
    (tmp_path / "letters-test-images-idx3-ubyte").write_bytes(content)
    source = sources.load(str(tmp_path))
    assert (source.name, source.origin) == (tmp_path.name, str(tmp_path))
    np.testing.assert_array_equal(source.validation, images.reshape(9, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(9), "has the shape (9,), which looks like labels"),
        (np.zeros((0, 4)), "has the shape (0, 4), so it is empty"),
        (np.zeros((4, 0)), "has the shape (4, 0), so it is empty"),
        (np.zeros((1, 4)), "holds 1 row; at least 3 are needed"),
        (np.zeros((2, 4)), "holds 2 rows; at least 3 are needed"),
        (np.array([["a", "b"]] * 3), "holds <U1; save it as numbers"),
        (np.zeros((3, 2), complex), "holds complex128; save it as numbers"),
        (np.zeros((3, 2), "M8[s]"), "holds datetime64[s]; save it as numbers"),
        (np.array([[1, 2], [3, np.nan], [4, -np.inf]]), "float32 in 2 rows, first in row 1 "),
        (np.array([[1, 2], [3, 4], [4, 1e39]]), "float32 in 1 row, first in row 2 "),
        (np.array([[1, 2], [3, None]], object), "holds Python objects, which are never loaded"),
    ],
)
def test_unfit_arrays(tmp_path, array, message):
    path = saved(tmp_path, array)
    assert refusal(path).startswith(f"{path}: ")
    assert message in refusal(path)


def test_bad_rows_are_counted_over_chunks(tmp_path, monkeypatch):
    array = np.zeros((1000, 4))
    array[[400, 401, 999], 2] = np.nan
    monkeypatch.setattr(sources, "CHUNK_VALUES", 64)
    assert "in 3 rows, first in row 400 (counted from 0)" in refusal(saved(tmp_path, array))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.zeros((3, 4)), np.zeros((3, 5)), "train rows have the shape (4,) and test rows (5,)"),
        (np.zeros((3, 4)), np.zeros((0, 4)), "test rows: has the shape (0, 4), so it is empty"),
        (np.zeros((3, 4)), np.zeros(3), "test rows: has the shape (3,), which looks like labels"),
        (np.zeros((1, 4)), np.zeros((3, 4)), "holds 1 row to train on; at least 2 are needed"),
        (
            np.zeros((3, 4), np.uint8),
            np.zeros((3, 4)),
            "train rows are uint8 and test rows float64",
        ),
        (np.zeros((3, 4)), np.full((3, 4), np.nan), "test rows: NaN"),
    ],
)
def test_parts_that_do_not_fit(tmp_path, train, test, message):
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test)
    assert message in refusal(tmp_path / "a.npz")


def test_paths_that_are_not_there_or_not_understood(tmp_path):
    assert "cifar10: there is no such file or folder; allowed are auto, mnist" in refusal("cifar10")
    assert "this folder holds no IDX images" in refusal(tmp_path)
    assert ": File name too long (" in refusal("x" * 5000)


def test_rows_stay_on_disk_for_blocks(tmp_path, monkeypatch):
    stored = np.random.default_rng(0).random((1000, 3, 4))
    path = saved(tmp_path, stored)
    monkeypatch.setattr(sources, "CHUNK_VALUES", 100)
    resident = sources.load(path)
    on_disk = sources.load(path, block_rows=64)
    rows = on_disk.train
    assert isinstance(rows, sources.RowsOnDisk)
    assert isinstance(rows.mapped, np.memmap)
    assert rows.shape == resident.train.shape == (900, 12)
    assert rows.dtype == np.float32
    block = rows[130:194]
    assert block.dtype == np.float32
    assert block.flags.c_contiguous
    np.testing.assert_array_equal(block, resident.train[130:194])
    np.testing.assert_array_equal(rows[890:990], resident.train[890:])
    np.testing.assert_array_equal(on_disk.validation, resident.validation)
    assert on_disk.sha256() == resident.sha256()


def test_rows_stay_on_disk_where_memory_is_small(tmp_path, rows, monkeypatch):
    path = saved(tmp_path, rows)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 4, "SC_PAGE_SIZE": rows.nbytes}.get)
    assert isinstance(sources.load(path).train, np.ndarray)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 4, "SC_PAGE_SIZE": rows.nbytes - 1}.get)
    assert isinstance(sources.load(path).train, sources.RowsOnDisk)
    # four times as large in memory as in the file
    path = saved(tmp_path, rows.astype(np.int8))
    assert isinstance(sources.load(path).train, sources.RowsOnDisk)


def peak_bytes(dataset, **options):
    tracemalloc.start()
    try:
        source = sources.load(str(dataset), **options)
        return source, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_big_file_on_disk(tmp_path):
    # sparse: 314 MB that the disk does not hold
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (100_000, 784))
    source, peak = peak_bytes(tmp_path / "a.npy", block_rows=4096, validation_fraction=0.01)
    assert source.train.shape == (99_000, 784)
    assert peak < 60e6


def test_memory_of_mnist_sized_idx_files(tmp_path):
    content = struct.pack(">IIII", 2051, 60000, 28, 28) + bytes(MNIST_BYTES)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, 1))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, 1))
    del content
    source, peak = peak_bytes(tmp_path)
    assert source.train.nbytes == MNIST_BYTES
    assert peak < 2 * MNIST_BYTES + 10e6


def test_header_that_promises_more_than_memory(tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 784)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    assert "its rows do not fit in memory; save them as a .npy" in refusal(tmp_path / "a.npz")


@pytest.fixture
def drawn(monkeypatch):
    """Stands in for the built-in digits, which take a while to draw."""
    asked = []
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)

    def load(seed=0, cache_dir=None, quiet=False):
        asked.append((seed, cache_dir, quiet))
        return SimpleNamespace(train_images=images[:8], test_images=images[8:])

    monkeypatch.setattr(tfae.data, "glyphs", SimpleNamespace(load=load), raising=False)
    return SimpleNamespace(asked=asked, images=images)


def test_glyphs_always_have_seed_0(drawn):
    source = sources.load("glyphs", seed=5, quiet=True)
    assert drawn.asked == [(0, None, True)]
    assert (source.name, source.title) == ("glyphs", "built-in digits (not MNIST)")
    assert (source.origin, source.reason) == ("drawn from matplotlib's fonts, seed 0", "")
    assert source.image_shape == (28, 28)
    np.testing.assert_array_equal(source.train, drawn.images[:8].reshape(8, -1))
    np.testing.assert_array_equal(source.validation, drawn.images[8:].reshape(4, -1))


def test_auto_draws_digits_where_mnist_is_not_to_be_had(tmp_path, drawn):
    source = sources.load("auto")
    assert source.name == "glyphs"
    assert source.reason == (
        "no MNIST was found: no IDX files, as no --data-dir was given, no Keras cache, no TFDS "
        "copy, and nowhere.invalid cannot be reached"
    )
    source = sources.load("auto", str(tmp_path))
    assert f"no IDX files, mnist.npz or TFDS copy in --data-dir {tmp_path}, " in source.reason


def test_importing_and_refusing_load_no_big_library():
    program = """
import sys
from tfae.data import sources
try:
    sources.load("nothing.npy")
except ValueError as problem:
    assert "no such file" in str(problem)
big = {"tensorflow", "tensorflow_datasets", "pyarrow", "matplotlib", "keras"}
print(sorted(big & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(tfae.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"
