"""`tfae report` and `tfae.load` of damaged files: one line, and the files can be made again."""

import json
import shutil
import warnings

import numpy as np
import pytest

import tfae
from tfae.__main__ import main as tfae_main
from tfae.errors import DataError
from tfae.train import main


@pytest.fixture(scope="module")
def base(tmp_path_factory, cache_dir):
    """A run that is done, on small images."""
    directory = tmp_path_factory.mktemp("results")
    rows = np.random.default_rng(0).integers(0, 256, (80, 6, 6)).astype(np.uint8)
    np.save(directory / "rows.npy", rows)
    options = ("--layers", "3", "--epochs", "2", "--optimizer", "adam", "--quiet")
    work = directory / "run"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TFAE_CACHE_DIR", str(cache_dir))
        arguments = ["--dataset", str(directory / "rows.npy"), "--workdir", str(work)]
        assert main([*arguments, *options]) == 0
    return work


@pytest.fixture
def work(base, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(base, tmp_path / "run")


def members(path, **changed):
    """Write examples.npz again with other members; None leaves one out."""
    with np.load(path) as file:
        arrays = {**file, **changed}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def flip(path, where):
    """Turn one byte round, at that part of a file."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 0xFF
    path.write_bytes(data)


EXAMPLES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:600]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "an array": lambda path: (
        np.save(path.with_suffix(".npy"), np.zeros(3)),
        path.unlink(),
        path.with_suffix(".npy").rename(path),
    ),
    "text": lambda path: path.write_text("rows"),
    "of other members": lambda path: np.savez(path, a=1),
    "without a member": lambda path: members(path, worst_mse=None),
    "of words": lambda path: members(path, rebuilt=np.full((8, 36), "x")),
    "of other rows": lambda path: members(path, rebuilt=np.zeros((3, 36), "f4")),
    "of no rows": lambda path: members(path, examples=np.zeros((0, 36), "f4")),
    "of one axis": lambda path: members(path, worst=np.zeros(36, "f4")),
    "of fewer numbers": lambda path: members(path, worst_index=np.arange(3)),
    "of an index that is none": lambda path: members(path, worst_index=np.full(8, 0.5)),
    "of another image": lambda path: members(path, image_shape=np.array([5, 5])),
    "of an image of two colours": lambda path: members(path, image_shape=np.array([6, 3, 2])),
    "of an image of one side": lambda path: members(path, image_shape=np.array(36)),
    "of an image of a word": lambda path: members(path, image_shape=np.array(["6", "6"])),
}


def report(path, capsys):
    """The error line of `tfae report`."""
    assert tfae_main(["report", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_examples_are_one_line(name, work, capsys):
    EXAMPLES[name](work / "examples.npz")
    error = report(work, capsys)
    assert error.startswith(f"tfae: {work / 'examples.npz'} cannot be read (")
    assert error.endswith(f"--resume --workdir {work} writes it again\n")


def test_a_byte_turned_round_anywhere_is_one_line_or_no_harm(work, capsys):
    """A zip archive has bytes that nobody reads."""
    path, refused = work / "examples.npz", 0
    whole = path.read_bytes()
    for where in np.random.default_rng(0).random(40):
        path.write_bytes(whole)
        flip(path, where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of a header that it does not like
            status = tfae_main(["report", str(work)])
        error = capsys.readouterr().err
        assert error.count("\n") == (1 if status else 0), error
        refused += status
    assert refused > 20


@pytest.mark.parametrize("text", ["", "null\n", "{}\n", b"\xff", "[" * 100_000])
def test_a_history_without_a_record_is_one_line(text, work, capsys):
    path = work / "history.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert report(work, capsys).startswith(f"tfae: {path} holds no record of an epoch: remove it")


def test_a_history_without_one_of_its_records_is_drawn_and_told(work):
    path = work / "history.jsonl"
    path.write_text(path.read_text().splitlines()[1] + "\n{}\n")
    assert tfae_main(["report", str(work)]) == 0
    assert "history.jsonl has no record of epoch 1" in (work / "report.html").read_text()


@pytest.mark.parametrize(
    "changed", [[], {"final": None}, {"final": {}}, {"dataset": {}}, {"warnings": None}, None]
)
def test_a_damaged_run_json_is_one_line(changed, work, capsys):
    path = work / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | changed if isinstance(changed, dict) else changed))
    error = report(work, capsys)
    assert error.startswith(f"tfae: {path} cannot be used (")
    assert error.endswith(f"--resume --workdir {work} writes it again\n")


@pytest.mark.parametrize("name", ["run.json", "examples.npz", "history.jsonl", "model.keras"])
def test_what_the_remedy_says_is_so(name, work, capsys):
    (work / name).unlink()
    assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0
    assert (work / name).exists()
    assert tfae_main(["report", str(work)]) == 0
    np.testing.assert_array_equal(tfae.load(work).encode(np.zeros((1, 36), "uint8")).shape, (1, 3))


def loaded(path):
    """The parameters of the model there, or the line of its refusal."""
    try:
        return [param.numpy() for param in tfae.load(path).params]
    except DataError as error:
        return str(error)


def test_a_model_with_a_byte_turned_round_is_refused_or_the_same(work):
    path, refused = work / "model.keras", 0
    whole, right = path.read_bytes(), loaded(work)
    for where in (0.0, 0.999, *np.random.default_rng(0).random(30)):
        path.write_bytes(whole)
        flip(path, where)
        found = loaded(work)
        if isinstance(found, str):
            refused += 1
            assert "is no model that tfae wrote" in found
            assert "\n" not in found
        else:
            for ours, theirs in zip(found, right, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert refused > 10


def test_what_is_no_model_says_how_it_is_written_again(work):
    path = work / "model.keras"
    whole = path.read_bytes()
    for data in (b"", whole[:1000], whole[:-10], b"x" * 5000, None):
        path.unlink()
        path.mkdir() if data is None else path.write_bytes(data)
        with pytest.raises(DataError, match="--resume --workdir") as caught:
            tfae.load(work)
        assert str(caught.value).endswith("writes it again")
        assert "\n" not in str(caught.value)
