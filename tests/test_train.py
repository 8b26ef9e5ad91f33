"""The command line, by its exit status, its one line of error and what it leaves."""

import hashlib
import itertools
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from tfae.kernels.threads import thread_count
from tfae.train import main


def train(*arguments):
    """Run the command line in this process, on a small stack that learns quickly."""
    small = ("--layers", 4, "--epochs", 3, "--batch-size", 32)
    adam = ("--optimizer", "adam", "--learning-rate", 0.02)
    return main([*map(str, small), *map(str, adam), *map(str, arguments)])


def refused(capsys, *arguments):
    """(exit status, the error line) of a run that must not start."""
    status = train(*arguments)
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("tfae: ")
    assert "Traceback" not in captured.err
    return status, captured.err


def test_a_run_leaves_all_that_it_promises(native, rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert train("--dataset", rows_file, "--workdir", work) == 0
    assert {path.name for path in work.iterdir()} == {
        "config.json",
        "history.jsonl",
        "checkpoints",
        "model.keras",
        "examples.npz",
        "loss.png",
        "reconstructions.png",
        "report.html",
        "run.json",
    }
    history = [json.loads(line) for line in (work / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert set(history[0]) == {"epoch", "loss", "val_loss", "epoch_s", "rows_per_s"}
    assert history[2]["loss"] < history[0]["loss"]
    facts = json.loads((work / "run.json").read_text())
    assert facts["status"] == "done"
    assert facts["dataset"]["name"] == "blobs"
    assert (facts["dataset"]["rows"], facts["dataset"]["validation_rows"]) == (540, 60)
    assert facts["engine"]["name"] == "fused"
    assert facts["engine"]["reason"] == "expected to be the fastest here"
    assert facts["engine"]["threads"] == thread_count()
    assert facts["engine"]["simd"]
    assert facts["final"]["val_loss"] == history[2]["val_loss"]
    assert facts["skipped_steps"] == 0
    output = capsys.readouterr().out
    assert output.startswith("data: ")
    assert len(re.findall(r"^epoch \d/3 ", output, re.MULTILINE)) == 3


def test_quiet_prints_nothing(rows_file, capsys):
    assert train("--dataset", rows_file, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_without_a_workdir_runs_go_to_directories_of_their_own(rows_file, tmp_path):
    for _ in range(2):
        assert train("--dataset", rows_file, "--quiet") == 0
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert all(re.fullmatch(r"blobs-\d{8}-\d{6}(-2)?", run.name) for run in runs)


def test_validation_every_few_epochs(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    options = ("--epochs", 7, "--validate-every", 3)
    assert train("--dataset", rows_file, "--workdir", work, *options) == 0
    history = [json.loads(line) for line in (work / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history if record["val_loss"] is not None] == [3, 6, 7]
    output = capsys.readouterr().out
    assert re.findall(r"^epoch (\d).* validation ", output, re.MULTILINE) == ["3", "6", "7"]
    final = json.loads((work / "run.json").read_text())["final"]
    assert final["val_loss"] == history[6]["val_loss"]


def test_epochs_that_nobody_looks_at_are_one_call(rows_file, tmp_path, monkeypatch):
    """As on a GPU, whose engines say that this is faster; between validations and checkpoints."""
    options = ("--engine", "xla", "--epochs", 9, "--validate-every", 2, "--checkpoint-every", 4)
    options += ("--batch-size", 54)  # a short last batch takes as long again to compile
    histories = []
    for gpus in ([], ["a GPU"]):
        monkeypatch.setattr("tfae.engines.xla.visible_gpus", lambda gpus=gpus: gpus)
        work = tmp_path / f"{len(gpus)}"
        assert train("--dataset", rows_file, "--workdir", work, "--quiet", *options) == 0
        lines = (work / "history.jsonl").read_text().splitlines()
        histories.append([json.loads(line) for line in lines])
        assert {path.name for path in (work / "checkpoints").iterdir()} == {
            "epoch-000008",
            "epoch-000009",
        }
    losses = [[(each["loss"], each["val_loss"]) for each in history] for history in histories]
    assert losses[0] == losses[1]
    epochs_a_call = [
        [len(list(calls)) for _, calls in itertools.groupby(each["epoch_s"] for each in history)]
        for history in histories
    ]
    assert epochs_a_call == [[1] * 9, [2, 2, 2, 2, 1]]


def test_the_same_seed_gives_the_same_losses(rows_file, tmp_path):
    histories = []
    for name in ("a", "b"):
        assert train("--dataset", rows_file, "--quiet", "--workdir", name) == 0
        lines = (tmp_path / name / "history.jsonl").read_text().splitlines()
        histories.append([json.loads(line)["loss"] for line in lines])
    assert histories[0] == histories[1]


def test_a_code_that_has_room_for_all_is_warned_of(rows_file, tmp_path, capsys):
    options = ("--layers", 40, "--epochs", 1, "--quiet", "--workdir", "run")
    assert train("--dataset", rows_file, *options) == 0
    assert "a code of 40 has room for all 36 features" in capsys.readouterr().err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "give --layers that end on fewer" in facts["warnings"][0]
    assert facts["final"]["pca_mse"] is None  # which would keep all of a row


def test_a_table_is_scaled_and_says_so(table, tmp_path, capsys):
    np.savetxt(tmp_path / "table.csv", table, delimiter=",")
    assert train("--dataset", "table.csv", "--workdir", "run", "--activation", "tanh") == 0
    assert "rows scaled: minmax" in capsys.readouterr().out
    linear = ("--output-activation", "linear", "--loss", "mse")
    assert train("--dataset", "table.csv", "--workdir", "run2", *linear) == 0
    said = capsys.readouterr().out
    assert "rows scaled: standard" in said
    assert "squared error of scaled columns" in said
    with np.load(tmp_path / "run2" / "examples.npz") as examples:
        worst, index = examples["worst"][0], examples["worst_index"][0]
    of_file = (table - table.mean(axis=0)) / table.std(axis=0)
    assert np.argmin(np.square(of_file - worst).sum(axis=1)) == index


def test_blocks_from_disk_learn_as_resident_rows_do(rows_file, tmp_path):
    losses = []
    for block_rows in (0, 200):
        work = f"blocks-{block_rows}"
        options = ("--block-rows", block_rows, "--batch-size", 20, "--epochs", 20)
        assert train("--dataset", rows_file, "--quiet", "--workdir", work, *options) == 0
        losses.append(json.loads((tmp_path / work / "run.json").read_text())["final"]["val_loss"])
    # Another order, so another path to the same place; five seeds of either spread by 2 %.
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


# Bad input: one line, the right status, and nothing left behind.


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy with something else
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tfae.train", "--help"], capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5
    assert done.returncode == 0
    for flag in ("--dataset", "--layers", "--resume", "--precision"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--epoch", "3"], 2, "did you mean --epochs"),
        (["--batch-size", "0"], 2, "--batch-size is 0; it must be at least 1"),
        (["--batch-size", "many"], 2, "--batch-size"),
        (["--layers", "12,x"], 2, "--layers"),
        (["--loss", "hinge"], 2, "invalid choice: 'hinge'"),
        (["--output-activation", "linear"], 2, "--loss mse"),
        (["--resume"], 2, "holds no run to resume"),
        (["--patience", "2", "--validate-every", "3"], 2, "lower --validate-every"),
        (["--dataset", "absent.npy"], 1, "absent.npy"),
        (["--dataset", "short.csv", "--scale", "standard"], 2, "--scale minmax"),
    ],
)
def test_wrong_options_are_one_line(arguments, status, message, tmp_path, capsys):
    (tmp_path / "short.csv").write_text("a,b\n" + "1,2\n3,4\n5,9\n" * 9)
    measured, line = refused(capsys, *arguments, "--workdir", "run")
    assert (measured, message in line) == (status, True), line
    assert not (tmp_path / "run").exists()


def test_a_resume_needs_a_directory(capsys):
    status, line = refused(capsys, "--resume")
    assert (status, "--resume needs --workdir" in line) == (2, True)


def bad_files(tmp_path):
    """Files that cannot be trained on, by the word that the error line must have."""
    good = np.random.default_rng(0).random((50, 5)).astype(np.float32)
    holes = good.copy()
    holes[7, 2] = np.nan
    np.save(tmp_path / "nan.npy", holes)
    holes[7, 2] = np.inf
    np.save(tmp_path / "infinite.npy", holes)
    np.save(tmp_path / "labels.npy", np.arange(50))
    np.save(tmp_path / "one.npy", good[:1])
    np.save(tmp_path / "none.npy", good[:0])
    np.save(tmp_path / "objects.npy", np.array([{}] * 4), allow_pickle=True)
    np.savez(tmp_path / "widths.npz", x_train=good, x_test=good[:, :3])
    np.save(tmp_path / "cut.npy", good)
    data = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(data[:-40])
    data = (tmp_path / "widths.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.csv").write_text("size,name\n" + "1,ash\n2,oak\n" * 10)
    (tmp_path / "ragged.csv").write_text("1,2\n" * 10 + "1,2,3\n")
    (tmp_path / "strange.docx").write_text("?")
    return sorted(path.name for path in tmp_path.iterdir() if path.is_file())


def test_bad_files_are_one_line_and_leave_no_work_directory(tmp_path, capsys):
    names = bad_files(tmp_path)
    assert len(names) == 12
    for name in names:
        status, line = refused(capsys, "--dataset", name, "--workdir", "run")
        assert status == 1, name
        assert name in line, line
        assert not (tmp_path / "run").exists(), name


def test_another_runs_directory_is_not_overwritten_unasked(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert train("--dataset", rows_file, "--workdir", work, "--quiet") == 0
    before = hashlib.sha256((work / "model.keras").read_bytes()).digest()
    status, line = refused(capsys, "--dataset", rows_file, "--workdir", work)
    assert status == 2
    assert "--resume" in line
    assert "--overwrite" in line
    assert hashlib.sha256((work / "model.keras").read_bytes()).digest() == before
    replaced = ("--workdir", work, "--overwrite", "--quiet", "--seed", 4)
    assert train("--dataset", rows_file, *replaced) == 0
    assert hashlib.sha256((work / "model.keras").read_bytes()).digest() != before


def test_what_no_run_wrote_is_never_removed(rows_file, tmp_path, capsys):
    work = tmp_path / "papers"
    work.mkdir()
    (work / "thesis.tex").write_text("years of work")
    status, line = refused(capsys, "--dataset", rows_file, "--workdir", work, "--overwrite")
    assert status == 2
    assert "thesis.tex" in line
    assert (work / "thesis.tex").read_text() == "years of work"


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(rows_file, tmp_path, capsys):
    options = ("--loss", "mse", "--output-activation", "linear", "--optimizer", "sgd")
    status, line = refused(
        capsys, "--dataset", rows_file, "--workdir", "run", "--learning-rate", 1e6, *options
    )
    assert status == 1
    assert "lower --learning-rate" in line
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_a_model_that_learns_nothing_is_warned_of(rows_file, tmp_path, capsys):
    adadelta = ("--optimizer", "adadelta", "--learning-rate", 0.001)  # Keras' default
    assert train("--dataset", rows_file, "--workdir", "run", *adadelta) == 0
    assert "near ln 2" in (error := capsys.readouterr().err)
    assert "Adadelta wants --learning-rate 1.0" in error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["warnings"]
    assert train("--dataset", rows_file, "--workdir", "run2") == 0
    assert capsys.readouterr().err == ""


def test_early_stopping_keeps_the_best_weights(tmp_path):
    """Rows whose validation part is noise of another kind: more training only harms it."""
    rng = np.random.default_rng(0)
    train_rows = rng.random((64, 30)).astype(np.float32)
    np.savez(tmp_path / "noise.npz", x_train=train_rows, x_test=1 - train_rows[:32])
    options = ("--patience", 2, "--epochs", 100)
    assert train("--dataset", "noise.npz", "--workdir", "run", "--quiet", *options) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["val_loss"] for line in lines]
    best = int(np.argmin(losses))
    assert facts["final"]["epoch"] == best + 1
    assert facts["epochs"] == len(losses) == best + 3 < 100
    import keras

    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    with np.load(tmp_path / "noise.npz") as file:
        rows = file["x_test"]
    loss = keras.losses.BinaryCrossentropy()(rows, model.predict(rows, verbose=0))
    assert float(loss) == pytest.approx(losses[best], rel=1e-5)


def test_tensorboard_files_hold_the_losses(rows_file, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train("--dataset", rows_file, "--workdir", "run", "--quiet", "--tensorboard") == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    assert {"loss", "val_loss", "reconstructions"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("loss")] == [1, 2, 3]


def test_the_package_alone_does_not_import_tensorflow():
    code = "import sys, tfae, tfae.train; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_tensorboard_is_said_before_anything_is_written(rows_file, tmp_path):
    """In a process that cannot import it: the tests' own environment has it."""
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'tensorboard' else find(name, *a)\n"
        "from tfae.train import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["--dataset", str(rows_file), "--workdir", "run", "--tensorboard", "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("pip install 'tfae[tensorboard]'\n")
    assert not (tmp_path / "run").exists()
