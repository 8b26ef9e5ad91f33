"""--resume of a run whose files are damaged: it goes on, says what is lost, and loses no more."""

import json
import shutil

import numpy as np
import pytest

from tfae.train import main

LOST = "whether the rows are those that the run was started on is not known"


def arguments(work, epochs=4):
    """A small run on rows.npy beside the work directory, with checkpoints of epochs 3 and 4."""
    return [
        *("--dataset", str(work.parent / "rows.npy"), "--workdir", str(work), "--layers", "4"),
        *("--optimizer", "adam", "--learning-rate", "0.02", "--batch-size", "32", "--quiet"),
        *("--checkpoint-every", "1", "--epochs", str(epochs)),
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory, cache_dir):
    """A directory with rows, a run of 4 epochs that is done, and one of 6."""
    directory = tmp_path_factory.mktemp("base")
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (6, 36))[rng.integers(0, 6, 300)] // 2 + rng.integers(0, 64, 36)
    np.save(directory / "rows.npy", rows.astype(np.uint8))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TFAE_CACHE_DIR", str(cache_dir))
        assert main(arguments(directory / "run")) == 0
        assert main(arguments(directory / "whole", 6)) == 0
    return directory


@pytest.fixture
def work(base, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(base / "run", tmp_path / "run")


def resume(work, capsys, *options):
    """(exit status, lines on stderr) of going on to epoch 6."""
    capsys.readouterr()
    status = main(["--resume", "--workdir", str(work), "--quiet", "--epochs", "6", *options])
    return status, capsys.readouterr().err.splitlines()


def history(work):
    """The records, each by a JSON parser."""
    return [json.loads(line) for line in (work / "history.jsonl").read_text().splitlines()]


def losses(work):
    """What does not depend on the time."""
    return [(each["epoch"], each["loss"], each["val_loss"]) for each in history(work)]


def weights(work):
    """Of the model, as Keras reads it."""
    import keras

    return keras.models.load_model(work / "model.keras").get_weights()


def assert_ended_as_the_whole_run(work, base):
    """The weights to the bit."""
    for ours, theirs in zip(weights(work), weights(base / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", '{"dataset": "x"}', b"\xff\xfe{", None, "directory"),
        *({"train_s": "x"}, {"engine": None}, {"warnings": None}, {"status": 7}),
    ],
    ids=str,
)
def test_a_run_goes_on_without_its_run_json(text, base, work, capsys):
    path = work / "run.json"
    facts = json.loads(path.read_text())
    path.unlink()
    if text == "directory":
        path.mkdir()
    elif text is not None:
        text = json.dumps(facts | text) if isinstance(text, dict) else text
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, lines = resume(work, capsys)
    assert status == 0, lines
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert "run.json" in lines[0]
    assert lines[0].endswith(LOST)
    after = json.loads(path.read_text())
    assert after["status"] == "done"
    assert after["warnings"] == [lines[0].removeprefix("warning: ")]
    assert after["dataset"] == facts["dataset"]
    assert losses(work) == losses(base / "whole")


def lines_of(work):
    """Of history.jsonl, with their ends."""
    return (work / "history.jsonl").read_text().splitlines(keepends=True)


HISTORIES = {
    "gone": (None, [1, 2, 3, 4]),
    "not UTF-8": (lambda lines: b"\xff\xfe" + "".join(lines).encode(), [1]),
    "nulls": (lambda lines: b"null\n" * 4, [1, 2, 3, 4]),
    "without its last line": (lambda lines: "".join(lines[:3]).encode(), [4]),
    "zeros at its end": (lambda lines: "".join(lines[:3]).encode() + b"\0" * 80, [4]),
    "damaged in line 2": (lambda lines: "".join(lines).replace(": 2,", ": 2x,").encode(), [2]),
    "backwards": (lambda lines: "".join(lines[::-1]).encode(), []),
    "twice, without line 1": (lambda lines: "".join(lines[1:] * 2).encode(), [1]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_run_goes_on_without_lines_of_its_history(name, base, work, capsys):
    damage, lost = HISTORIES[name]
    path, lines = work / "history.jsonl", lines_of(work)
    path.unlink() if damage is None else path.write_bytes(damage(lines))
    status, said = resume(work, capsys)
    assert status == 0, said
    assert len(said) == 1
    assert said[0].startswith(f"warning: {path} ")
    assert "--overwrite" not in said[0]
    assert ("no record of epoch" in said[0]) == bool(lost)
    nulls = dict.fromkeys(("loss", "val_loss", "epoch_s", "rows_per_s"))
    assert [each for each in history(work) if each["loss"] is None] == [
        {"epoch": epoch, **nulls} for epoch in lost
    ]
    kept = [each for each in losses(base / "whole") if each[0] not in lost]
    assert [each for each in losses(work) if each[1] is not None] == kept
    assert_ended_as_the_whole_run(work, base)
    assert "null for what is lost" in (work / "report.html").read_text()


def test_a_run_that_is_done_but_for_its_history_is_finished_again(work, capsys):
    """No epoch is left to train, and the last one's losses are among what is lost."""
    (work / "history.jsonl").unlink()
    status, said = resume(work, capsys, "--epochs", "4")
    assert status == 0, said
    final = json.loads((work / "run.json").read_text())["final"]
    assert final["loss"] is None
    assert final["val_loss"] == history(work)[3]["val_loss"] > 0
    assert main(["--resume", "--workdir", str(work), "--epochs", "5"]) == 0  # and its lines


def test_early_stopping_knows_its_best_loss_without_the_record(base, tmp_path, capsys):
    work = tmp_path / "run"
    options = ["--patience", "2", "--learning-rate", "0.5", "--epochs", "100"]
    assert main([*arguments(base / "run")[:2], "--workdir", str(work), *options, "--quiet"]) == 0
    facts = json.loads((work / "run.json").read_text())
    (work / "history.jsonl").write_text("")
    (work / "model.keras").unlink()
    capsys.readouterr()
    assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0
    final = json.loads((work / "run.json").read_text())["final"]
    assert final == {**facts["final"], "loss": None}


def data_of(checkpoint):
    """The file with the numbers."""
    return next(checkpoint.glob("*.data*"))


def flip(path, where):
    """Turn one byte round, at that part of a file."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 0xFF
    path.write_bytes(data)


def replace_by_file(checkpoint):
    """In place of the directory."""
    shutil.rmtree(checkpoint)
    checkpoint.write_text("x")


def replace_data_by_directory(checkpoint):
    """In place of the file with the numbers."""
    data_of(checkpoint).unlink()
    (checkpoint / "state.data-00000-of-00001").mkdir()


CHECKPOINTS = {
    "data flipped in the middle": lambda c: flip(data_of(c), 0.5),
    "data flipped at its end": lambda c: flip(data_of(c), 0.999),
    "data cut": lambda c: data_of(c).write_bytes(data_of(c).read_bytes()[:1000]),
    "data a directory": replace_data_by_directory,
    "index empty": lambda c: (c / "state.index").write_bytes(b""),
    "index flipped": lambda c: flip(c / "state.index", 0.5),
    "index gone": lambda c: (c / "state.index").unlink(),
    "directory empty": lambda c: [file.unlink() for file in c.iterdir()],
    "a file": replace_by_file,
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(name, base, work, capsys):
    last = work / "checkpoints" / "epoch-000004"
    CHECKPOINTS[name](last)
    status, said = resume(work, capsys)
    assert status == 0, said
    assert len(said) == 1
    assert said[0].startswith(f"warning: {last} cannot be restored (")
    assert said[0].endswith(": went back to epoch 3")
    assert "{{" not in said[0]
    assert losses(work) == losses(base / "whole")
    assert_ended_as_the_whole_run(work, base)
    saved = sorted(path.name for path in (work / "checkpoints").iterdir())
    assert saved == ["epoch-000005", "epoch-000006"]


def test_a_damaged_checkpoint_stays_until_a_good_one_replaces_it(work, capsys):
    """And does not count among the two that are kept, nor stand in the way of its successor."""
    last = work / "checkpoints" / "epoch-000004"
    data_of(last).write_bytes(b"")
    assert main(["--resume", "--workdir", str(work), "--epochs", "2"]) == 2  # fewer than it has
    assert "fewer than the 3" in capsys.readouterr().err
    assert data_of(last).read_bytes() == b""
    status, said = resume(work, capsys, "--epochs", "5")
    assert status == 0, said
    assert data_of(last).read_bytes() != b""
    assert {path.name for path in (work / "checkpoints").iterdir()} == {
        "epoch-000004",
        "epoch-000005",
    }
    shutil.rmtree(work / "checkpoints" / "epoch-000005")
    assert resume(work, capsys) == (0, [])


def test_no_checkpoint_that_is_whole_is_one_line(work, capsys):
    for checkpoint in (work / "checkpoints").iterdir():
        data_of(checkpoint).write_bytes(b"")
    before = sorted(path for path in work.rglob("*"))
    status, said = resume(work, capsys)
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith("tfae: no checkpoint is whole: ")
    assert "epoch-000003" in said[0]
    assert said[0].endswith("start again with --overwrite")
    assert sorted(path for path in work.rglob("*")) == before
    assert lines_of(work)[3]


def test_other_rows_are_refused_where_that_is_known_and_told_where_not(base, work, capsys):
    other = ["--dataset", str(work.parent / "other.npy")]
    np.save(other[1], np.load(base / "rows.npy")[::-1])
    status, said = resume(work, capsys, *other)
    assert (status, "the rows are not those" in said[0]) == (1, True)
    (work / "run.json").unlink()
    status, said = resume(work, capsys, *other)
    assert (status, LOST in said[0]) == (0, True)
