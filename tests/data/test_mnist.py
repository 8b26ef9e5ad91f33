"""Where MNIST is looked for, in which order, and what is said when it is not there."""

import gzip
import struct

import numpy as np
import pytest

from tfae.data import mnist, sources, tfds
from tfae.errors import DataError

TRAIN = "train-images-idx3-ubyte"
TEST = "t10k-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(tfds, "PROBE_URL", "http://nowhere.invalid/file")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def images_of(count, value):
    return np.full((count, 28, 28), value, np.uint8)


def write_idx(folder, value, names=(TRAIN, TEST)):
    """Six training images of that value and three test images of the next."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        images = images_of(6, value) if name.startswith("train") else images_of(3, value + 1)
        content = struct.pack(">IIII", 2051, *images.shape) + images.tobytes()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


def write_npz(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(6, np.uint8)
    np.savez(
        path,
        x_train=images_of(6, value),
        y_train=labels,
        x_test=images_of(3, value + 1),
        y_test=labels[:3],
    )
    return path


def refusal(dataset, data_dir=None):
    with pytest.raises(DataError) as caught:
        sources.load(dataset, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_without_labels(tmp_path, suffix):
    folder = write_idx(tmp_path / "given", 7, [TRAIN + suffix, TEST + suffix])
    source = sources.load("mnist", str(folder))
    assert (source.name, source.title, source.reason) == ("mnist", "MNIST", "")
    assert source.origin == f"IDX files in {folder}"
    assert source.validation_from == "its own test part"
    assert source.image_shape == (28, 28)
    np.testing.assert_array_equal(source.train, np.full((6, 784), 7, np.uint8))
    np.testing.assert_array_equal(source.validation, np.full((3, 784), 8, np.uint8))


def test_the_places_in_their_order(tmp_path, home, monkeypatch):
    write_npz(home / ".keras/datasets/mnist.npz", 10)
    assert sources.load("mnist").train[0, 0] == 10
    assert sources.load("mnist").origin == f"Keras' cache {home}/.keras/datasets/mnist.npz"

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    write_npz(tmp_path / "keras/datasets/mnist.npz", 20)
    assert sources.load("mnist").train[0, 0] == 20

    monkeypatch.setenv("TFAE_DATA_DIR", str(tmp_path / "env"))
    assert sources.load("mnist").train[0, 0] == 20  # a folder that is not there is passed over
    write_npz(tmp_path / "env/mnist.npz", 30)
    assert sources.load("mnist").train[0, 0] == 30
    write_idx(tmp_path / "env", 40)
    assert sources.load("mnist").train[0, 0] == 40

    given = write_npz(tmp_path / "given/mnist.npz", 50)
    assert sources.load("mnist", str(given.parent)).train[0, 0] == 50
    assert sources.load("mnist", str(given.parent)).origin == str(given)
    assert sources.load("auto", str(given.parent)).reason == ""


def test_auto_says_which_data_dir_it_passed_over(tmp_path, home):
    write_npz(home / ".keras/datasets/mnist.npz", 10)
    (tmp_path / "empty").mkdir()
    source = sources.load("auto", str(tmp_path / "empty"))
    assert source.name == "mnist"
    assert source.reason == (f"no IDX files, mnist.npz or TFDS copy in --data-dir {tmp_path}/empty")
    assert sources.load("auto").reason == ""


def test_a_data_dir_without_mnist(tmp_path, home):
    write_npz(home / ".keras/datasets/mnist.npz", 10)
    (tmp_path / "empty").mkdir()
    source = sources.load("mnist", str(tmp_path / "empty"))
    assert source.origin.startswith("Keras' cache")
    assert source.reason == f"no IDX files, mnist.npz or TFDS copy in --data-dir {tmp_path}/empty"
    for dataset in ("auto", "mnist"):
        assert "does not exist" in refusal(dataset, str(tmp_path / "nowhere"))
    file = tmp_path / "file"
    file.touch()
    assert refusal("mnist", str(file)) == (
        f"--data-dir {file}: is a file; give the folder that holds MNIST's files"
    )


@pytest.mark.parametrize("dataset", ["auto", "mnist"])
@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ([TRAIN], TEST),
        ([TEST + ".gz"], TRAIN),
        (["train-labels-idx1-ubyte"], f"{TRAIN} and {TEST}"),
    ],
)
def test_a_part_of_mnist_is_an_error(tmp_path, dataset, names, lacking):
    folder = write_idx(tmp_path / "given", 7, names)
    message = refusal(dataset, str(folder))
    assert f"holds {names[0]} but not {lacking} (or .gz)" in message


@pytest.mark.parametrize("dataset", ["auto", "mnist"])
def test_a_damaged_file_is_an_error_even_under_auto(tmp_path, home, monkeypatch, dataset):
    folder = write_idx(tmp_path / "given", 7, [TRAIN, TEST + ".gz"])
    (folder / (TEST + ".gz")).write_bytes((folder / (TEST + ".gz")).read_bytes()[:-9])
    assert f"{TEST}.gz: the gzip data is damaged or cut short" in refusal(dataset, str(folder))
    monkeypatch.setenv("TFAE_DATA_DIR", str(folder))
    assert "cut short" in refusal(dataset)
    monkeypatch.delenv("TFAE_DATA_DIR")
    cache = write_npz(home / ".keras/datasets/mnist.npz", 10)
    cache.write_bytes(cache.read_bytes()[:-30])
    assert f"{cache}: is cut short" in refusal(dataset)


def test_nowhere_and_no_network(tmp_path):
    message = refusal("mnist")
    assert "no IDX files, as no --data-dir was given, no Keras cache, no TFDS copy" in message
    assert "nowhere.invalid cannot be reached" in message
    assert "give it as --data-dir, or use --dataset glyphs" in message
    parts, _, missing = mnist.load(str(tmp_path), required=False)
    assert parts is None
    assert missing == [
        f"no IDX files, mnist.npz or TFDS copy in --data-dir {tmp_path}",
        "no Keras cache",
        "no TFDS copy",
        "nowhere.invalid cannot be reached",
    ]
