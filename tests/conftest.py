"""What the tests share: an environment of their own, and rows to train on."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# No test sees TFAE_DATA_DIR, but pytest's other processes, which begin here too, must know it. Made
# absolute: the tests run in directories of their own.
REAL_DATA_DIR = os.environ.pop("TFAE_DATA_DIR", None) or os.environ.get("TFAE_TESTS_DATA_DIR")
if REAL_DATA_DIR:
    REAL_DATA_DIR = os.environ["TFAE_TESTS_DATA_DIR"] = os.path.abspath(REAL_DATA_DIR)


def pytest_configure(config):
    """A temporary directory for all that tests, libraries and compilers leave; it goes at the end.

    The built-in digits and the kernels are kept in it, made once for all test processes.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    root = tempfile.mkdtemp(prefix="tfae-tests-")
    config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))
    os.environ |= {"TMPDIR": root, "TFAE_CACHE_DIR": f"{root}/cache"}
    tempfile.tempdir = None  # to be looked up anew


@pytest.fixture(scope="session")
def cache_dir():
    """Where the built-in digits and the kernels are kept."""
    directory = Path(os.environ["TFAE_CACHE_DIR"])
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No test sees the files of whoever runs it, nor leaves anything outside its directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("KERAS_HOME", "TFDS_DATA_DIR", "TFAE_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def native():
    """The native kernels, built once for all test processes."""
    from tfae.kernels.compiler import NoCompiler
    from tfae.kernels.library import load

    try:
        return load()
    except NoCompiler as error:
        pytest.skip(f"no native kernels: {error}")


@pytest.fixture(scope="session")
def mnist_dir():
    """The directory of the real MNIST that TFAE_DATA_DIR names."""
    if not REAL_DATA_DIR:
        pytest.skip("TFAE_DATA_DIR does not name a directory with MNIST")
    return REAL_DATA_DIR


@pytest.fixture(scope="session")
def digits(cache_dir):
    """60,000 + 10,000 digits [N, 784] uint8: MNIST where TFAE_DATA_DIR has it, else built in."""
    from tfae.data.sources import load

    if REAL_DATA_DIR:
        source = load("mnist", REAL_DATA_DIR)
        return source.train, source.validation
    from tfae.data import glyphs

    drawn = glyphs.load(cache_dir=cache_dir, quiet=True)
    return drawn.train_images.reshape(-1, 784), drawn.test_images.reshape(-1, 784)


@pytest.fixture
def table():
    """A table [500, 12] float32 of five hidden factors, in columns of very different units."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 12)) + 0.1 * rng.normal(size=(500, 12))
    return (rows * np.logspace(-2, 3, 12) + np.linspace(-50, 50, 12)).astype(np.float32)


@pytest.fixture
def byte_rows():
    """Blobs [600, 36] uint8 that a small autoencoder can learn."""
    rng = np.random.default_rng(3)
    centers = rng.integers(0, 256, size=(6, 36))
    noise = rng.normal(scale=20, size=(600, 36))
    return np.clip(centers[rng.integers(0, 6, 600)] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def rows_file(byte_rows, tmp_path):
    """The same as images of 6 x 6 in a .npy file: a run draws those faster than curves."""
    path = tmp_path / "blobs.npy"
    np.save(path, byte_rows.reshape(-1, 6, 6))
    return path


@pytest.fixture
def rows(byte_rows):
    """The bytes as Keras is given them: float32, from 0 to 1."""
    return byte_rows / np.float32(255)
