"""TFDS copies that TFDS itself prepares in a temporary folder, and the question for a network."""

import http.server
import json
import socket
import threading
import time

import numpy as np
import pytest

from tfae.data import mnist, sources, tfds
from tfae.errors import DataError

FLOWERS = np.random.default_rng(0).random((7, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(tfds, "PROBE_URL", "http://nowhere.invalid/file")


def image(i, shape=(28, 28, 1)):
    return np.full(shape, i, np.uint8)


def prepare(folder, name, features, splits, version="1.0.0", keys=None):
    """Has TFDS write a data set; splits maps a split's name to its list of examples."""
    import tensorflow_datasets as real

    class Prepared(real.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = real.core.Version(version)

        def _info(self):
            return real.core.DatasetInfo(
                builder=self,
                features=real.features.FeaturesDict(features),
                supervised_keys=keys,
            )

        def _split_generators(self, _):
            return {split: self._generate_examples(rows) for split, rows in splits.items()}

        def _generate_examples(self, rows):
            yield from enumerate(rows)

    Prepared.name = name
    real.disable_progress_bar()
    Prepared(data_dir=folder).download_and_prepare()
    return folder / name / version


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A folder of prepared data sets: mnist in two versions, and others by what they hold."""
    import tensorflow_datasets as real

    folder = tmp_path_factory.mktemp("copies")
    digit = {
        "image": real.features.Image(shape=(28, 28, 1)),
        "label": real.features.ClassLabel(num_classes=10),
    }
    for version, first in (("3.0.1", 100), ("3.0.0", 50)):
        splits = {
            "train": [{"image": image(first + i), "label": i} for i in range(6)],
            "test": [{"image": image(first + 6 + i), "label": i} for i in range(3)],
        }
        prepare(folder, "mnist", digit, splits, version, ("image", "label"))
    color = {
        "mask": real.features.Image(shape=(4, 4, 1)),
        "photo": real.features.Image(shape=(4, 5, 3)),
    }
    rows = [{"mask": image(0, (4, 4, 1)), "photo": image(i, (4, 5, 3))} for i in range(9)]
    prepare(folder, "color", color, {"train": rows, "validation": rows[:2]}, keys=("photo", "mask"))
    ragged = {"image": real.features.Image()}
    prepare(folder, "ragged", ragged, {"train": [{"image": image(1, (5, 4, 3))}] * 3})
    vector = {"features": real.features.Tensor(shape=(4,), dtype=np.float32), "label": np.int64}
    rows = [{"features": row, "label": 1} for row in FLOWERS]
    prepare(folder, "flowers", vector, {"train": rows}, keys=("features", "label"))
    table = {"age": np.float32, "rooms": np.int64, "kind": real.features.ClassLabel(num_classes=2)}
    rows = [{"age": i / 2, "rooms": i, "kind": 1} for i in range(5)]
    prepare(folder, "table", table, {"train": rows})
    prepare(folder, "prose", {"text": real.features.Text()}, {"train": [{"text": "x"}] * 3})
    prepare(folder, "exam", digit, {"test": splits["test"]})
    return folder


def refusal(*arguments):
    with pytest.raises(DataError) as caught:
        sources.load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mnist_copy_of_the_newest_version(copies):
    source = sources.load("mnist", str(copies))
    assert (source.name, source.title) == ("mnist", "MNIST")
    assert source.origin == f"TFDS copy in {copies}/mnist/3.0.1"
    assert source.image_shape == (28, 28)
    assert source.train.shape == (6, 784)
    assert source.train.dtype == np.uint8
    assert sorted(source.train[:, 5]) == list(range(100, 106))
    assert sorted(source.validation[:, 0]) == [106, 107, 108]
    assert source.sha256() == sources.load("mnist", str(copies)).sha256()


def test_copies_are_found_in_the_folders_of_tfds(copies, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(copies))
    assert sources.load("mnist").train.max() == 105
    assert sources.load("auto").name == "mnist"
    source = sources.load("tfds:mnist:3.0.0", str(tmp_path))
    assert (source.name, source.title) == ("tfds:mnist:3.0.0", "mnist:3.0.0 (TFDS)")
    assert source.train.max() == 55
    monkeypatch.delenv("TFDS_DATA_DIR")
    (tmp_path / "home/tensorflow_datasets").symlink_to(copies)
    assert sources.load("mnist").train.max() == 105


def test_the_input_image_and_a_validation_split(copies):
    source = sources.load("tfds:color", str(copies))
    assert source.image_shape == (4, 5, 3)
    assert source.validation_from == "its own validation part"
    assert (source.train.shape, source.validation.shape) == ((9, 60), (2, 60))


def test_more_rows_than_a_batch(copies, monkeypatch):
    monkeypatch.setattr(tfds, "BATCH_ROWS", 4)
    source = sources.load("tfds:color", str(copies))
    assert sorted(source.train[:, 59]) == list(range(9))


def test_numeric_features(copies):
    source = sources.load("tfds:flowers", str(copies))
    rows = np.concatenate([source.train, source.validation])
    assert source.image_shape is None
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(FLOWERS, axis=0))
    source = sources.load("tfds:table", str(copies))
    rows = np.concatenate([source.train, source.validation])
    np.testing.assert_array_equal(np.sort(rows, axis=0), [[i / 2, i] for i in range(5)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ragged", "the images of feature 'image' differ in size"),
        ("prose", "none of its features (text) is an image of fixed size or numbers"),
        ("exam", "has no rows in a split named train (its splits: test)"),
    ],
)
def test_copies_that_do_not_fit(copies, name, message):
    assert message in refusal(f"tfds:{name}", str(copies))


def first_record(records):
    length = int.from_bytes(records[:8], "little")
    return records[: 8 + 4 + length + 4]  # TFRecord: length, its checksum, data, its checksum


@pytest.mark.parametrize("dataset", ["auto", "mnist"])
@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("mnist-train.tfrecord", lambda content: content[:-20], "truncated record"),
        ("mnist-train.tfrecord", first_record, "contain 6 elements but contained only 1"),
        ("dataset_info.json", lambda content: b"{", "cannot be read"),
        ("features.json", lambda content: b"", "cannot be read"),
    ],
)
def test_damaged_copies(copies, tmp_path, dataset, name, damage, message):
    copy = tmp_path / "mnist/3.0.1"
    copy.mkdir(parents=True)
    for file in (copies / "mnist/3.0.1").iterdir():
        content = file.read_bytes()
        (copy / file.name).write_bytes(damage(content) if file.name.startswith(name) else content)
    text = refusal(dataset, str(tmp_path))
    assert text.startswith(f"{copy}: this TFDS copy cannot be read (")
    assert message in text


def test_names_that_cannot_be_had(tmp_path):
    message = refusal("tfds:cifr10", str(tmp_path))
    assert "has no data set of this name; names like it: cifar10" in message
    message = refusal("tfds:cifar10", str(tmp_path))
    assert (
        f"there is no prepared copy in {tmp_path}, {tmp_path}/home/tensorflow_datasets" in message
    )
    assert "nowhere.invalid cannot be reached" in message
    assert "as --data-dir" in message


class Answering(http.server.BaseHTTPRequestHandler):
    """A host that can be reached but has none of the files."""

    def do_HEAD(self):
        self.send_response(200 if self.path == "/here" else 404)
        self.end_headers()

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_reachable(host):
    assert tfds.reachable(f"{host}/here")
    assert not tfds.reachable(f"{host}/elsewhere")
    assert not tfds.reachable("http://nowhere.invalid/file")
    assert not tfds.reachable("not a URL")


def test_a_silent_host_is_given_up_after_three_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        assert not tfds.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert 2.5 < time.monotonic() - begin < 3.5


def test_a_silent_name_server_is_given_up_too(monkeypatch):
    release = threading.Event()

    def hang(*_, **__):
        release.wait(20)
        raise OSError("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    begin = time.monotonic()
    assert not tfds.reachable("http://example.invalid/", limit_s=0.2)
    assert time.monotonic() - begin < 1
    release.set()


def test_a_failed_download(host, monkeypatch, tmp_path, capfd):
    import tensorflow_datasets as real

    monkeypatch.setattr(tfds, "PROBE_URL", f"{host}/here")
    monkeypatch.setattr(real.image_classification.mnist.MNIST, "URL", f"{host}/none/")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "copies"))
    with pytest.raises(DataError) as caught:
        sources.load("mnist", quiet=True)
    message = str(caught.value)
    assert f"TFDS could not download mnist into {tmp_path}/copies (" in message
    assert "404" in message
    assert "\n" not in message
    assert "Downloading" not in capfd.readouterr().out
    parts, _, missing = mnist.load(required=False, quiet=True)  # as auto calls it
    assert parts is None
    assert "TFDS could not download mnist" in missing[-1]


def test_tfds_prepares_what_it_can_make(monkeypatch, tmp_path, host):
    import tensorflow_datasets as real

    class TfaeRamp(real.core.GeneratorBasedBuilder):
        """A registered data set whose making needs no network."""

        VERSION = real.core.Version("1.0.0")

        def _info(self):
            features = real.features.FeaturesDict({"value": np.float32, "square": np.float32})
            return real.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(10):
                yield i, {"value": float(i), "square": float(i * i)}

    monkeypatch.setattr(tfds, "PROBE_URL", f"{host}/here")
    source = sources.load("tfds:tfae_ramp", str(tmp_path), quiet=True)
    assert source.origin == f"TFDS copy in {tmp_path}/tfae_ramp/1.0.0"
    assert source.train.shape == (9, 2)
    info = json.loads((tmp_path / "tfae_ramp/1.0.0/dataset_info.json").read_text())
    assert info["name"] == "tfae_ramp"
    monkeypatch.setattr(tfds, "PROBE_URL", "http://nowhere.invalid/file")
    assert sources.load("tfds:tfae_ramp", str(tmp_path)).sha256() == source.sha256()
