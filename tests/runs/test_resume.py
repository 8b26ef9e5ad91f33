"""The parity ladder's rung 5: stopped and resumed is bit-identical to never stopped.

Real processes, real signals: a run is interrupted or killed somewhere and goes on.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tfae.errors import DataError
from tfae.runs import artifact
from tfae.train import main

ADAM = ["--optimizer", "adam"]
COSINE = [*ADAM, "--schedule", "cosine"]


def arguments(rows_file, work, options, epochs):
    """A small run that checkpoints every fourth epoch, and has short last batches."""
    return [
        *("--dataset", str(rows_file), "--workdir", str(work), "--layers", "8"),
        *("--batch-size", "50", "--learning-rate", "0.01", "--epochs", str(epochs)),
        *("--checkpoint-every", "4", *options),
    ]


def outcome(work):
    """What must not depend on where a run was stopped: losses, weights and slots, to the bit."""
    import tensorflow as tf

    lines = (work / "history.jsonl").read_text().splitlines()
    losses = [(r["epoch"], r["loss"], r["val_loss"]) for r in map(json.loads, lines)]
    last = sorted((work / "checkpoints").iterdir())[-1]
    reader = tf.train.load_checkpoint(str(last / "state"))
    names = sorted(reader.get_variable_to_shape_map())
    values = {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in names
        if "OBJECT_GRAPH" not in name
    }
    return losses, last.name, values


@pytest.fixture
def start():
    """Starts training processes whose output can be read line by line, and ends what is left."""
    processes = []
    # As a user has it: with the tests' own setting, TensorFlow's lines are not held back.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}

    def begin(command):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tfae.train", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_for(process, text):
    """Read the process's lines up to the one with that text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the run ended before {text!r}: {process.stderr.read()}")


def test_ctrl_c_saves_and_resume_is_bit_identical(rows_file, tmp_path, start):
    options, epochs = [*ADAM, "--validate-every", "99"], 100
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments(rows_file, whole, options, epochs), "--quiet"]) == 0

    process = start(arguments(rows_file, parts, options, epochs))
    wait_for(process, "epoch   3/")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "--resume --workdir" in out
    assert "Traceback" not in error
    assert json.loads((parts / "run.json").read_text())["status"] == "interrupted"
    stopped_after = len((parts / "history.jsonl").read_text().splitlines())
    assert 3 <= stopped_after < 99
    with pytest.raises(DataError, match="holds no finished run"):
        artifact.load(parts)
    ended = shutil.copytree(parts, tmp_path / "ended")
    end = ["--epochs", str(stopped_after)]
    assert f"With {' '.join(end)} that writes the model" in out
    assert main(["--resume", "--workdir", str(ended), "--quiet", *end]) == 0
    assert artifact.load(ended).stack.features == 36
    # Where the run was to go on, there was no validation yet.
    final = json.loads((ended / "run.json").read_text())["final"]
    assert final["epoch"] == stopped_after
    assert final["val_loss"] == pytest.approx(final["loss"], rel=0.2)

    assert main(["--resume", "--workdir", str(parts), "--quiet"]) == 0
    assert outcome(parts) == outcome(whole)


def test_a_killed_run_resumes_from_its_last_checkpoint_bit_identically(rows_file, tmp_path, start):
    """It goes on when the reader of its output goes away, and is then killed."""
    options, epochs = COSINE, 100
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments(rows_file, whole, options, epochs), "--quiet"]) == 0
    process = start(arguments(rows_file, parts, options, epochs))
    wait_for(process, "epoch   2/")
    process.stdout.close()
    while len((parts / "history.jsonl").read_text().splitlines()) < 10:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    # What a kill in the middle of a write would leave beside it.
    (parts / "checkpoints" / ".epoch-000999.partial").mkdir()
    with (parts / "history.jsonl").open("a") as file:
        file.write('{"epoch": 99')
    assert main(["--resume", "--workdir", str(parts), "--quiet"]) == 0
    assert outcome(parts) == outcome(whole)
    epochs_s = [
        json.loads(line)["epoch_s"] for line in (parts / "history.jsonl").read_text().splitlines()
    ]
    assert json.loads((parts / "run.json").read_text())["train_s"] >= sum(epochs_s)


@pytest.mark.parametrize(
    "options",
    [  # whole batches where it is XLA's: a short one takes as long again to compile
        ADAM,
        [*ADAM, "--precision", "mixed_float16", "--patience", "100", "--batch-size", "54"],
    ],
)
def test_more_epochs_can_be_asked_of_a_finished_run(options, rows_file, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments(rows_file, whole, options, 6), "--quiet"]) == 0
    assert main([*arguments(rows_file, parts, options, 3), "--quiet"]) == 0
    assert main(["--resume", "--workdir", str(parts), "--epochs", "6", "--quiet"]) == 0
    assert outcome(parts) == outcome(whole)


def test_early_stopping_is_remembered(rows_file, tmp_path):
    """Killed between the early stop and the report, or run again: no epoch is added."""
    options = ["--optimizer", "adam", "--patience", "2", "--learning-rate", "0.5"]
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, options, 100), "--quiet"]) == 0
    before = outcome(work)
    assert len(before[0]) < 100
    facts = json.loads((work / "run.json").read_text())
    facts.pop("final")
    (work / "run.json").write_text(json.dumps({**facts, "status": "trained"}))
    (work / "model.keras").unlink()
    assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0
    assert outcome(work) == before
    assert (work / "model.keras").exists()
    after = json.loads((work / "run.json").read_text())
    assert (after["status"], after["stop_reason"]) == ("done", facts["stop_reason"])


def test_a_resumed_run_waits_for_the_validation_that_may_end_it(rows_file, tmp_path):
    """Best after epoch 3, it is to stop after 9, the first validation beyond its patience."""
    options = [*ADAM, "--patience", "5", "--validate-every", "3", "--learning-rate", "0.3"]
    whole = tmp_path / "whole"
    assert main([*arguments(rows_file, whole, options, 30), "--quiet"]) == 0
    assert [path.name for path in sorted((whole / "checkpoints").iterdir())] == [
        "epoch-000008",
        "epoch-000009",
    ]
    parts = shutil.copytree(whole, tmp_path / "parts")
    shutil.rmtree(parts / "checkpoints" / "epoch-000009")
    facts = json.loads((parts / "run.json").read_text())
    (parts / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    assert main(["--resume", "--workdir", str(parts), "--quiet"]) == 0
    assert outcome(parts) == outcome(whole)


def test_a_run_resumes_from_another_directory(rows_file, tmp_path, monkeypatch):
    relative = arguments(rows_file.name, "run", ADAM, 2)
    assert main([*relative, "--quiet"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = ["--resume", "--workdir", "../run", "--dataset", "../blobs.npy", "--epochs", "4"]
    assert main([*resumed, "--quiet"]) == 0
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 4


def test_resuming_on_another_engine_is_warned_of(native, rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, ADAM, 2), "--quiet"]) == 0
    facts = json.loads((work / "run.json").read_text())
    facts["engine"] = {"name": "xla", "reason": "no fused kernels"}
    (work / "run.json").write_text(json.dumps(facts))
    assert main(["--resume", "--workdir", str(work), "--epochs", "4", "--quiet"]) == 0
    assert "the run began with name xla and goes on with name fused" in capsys.readouterr().err


def test_resuming_a_finished_run_changes_nothing(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, ADAM, 3), "--quiet"]) == 0
    before = outcome(work), json.loads((work / "run.json").read_text())
    assert main(["--resume", "--workdir", str(work)]) == 0
    assert "has ended after epoch 3" in capsys.readouterr().out
    assert (outcome(work), json.loads((work / "run.json").read_text())) == before


def test_a_resume_that_would_be_another_run_is_refused(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, COSINE, 2), "--quiet"]) == 0
    for extra, message in (
        (["--seed", "5"], "--seed is 5, but the run in"),
        (["--layers", "9"], "--layers is 9, but the run in"),
        (["--epochs", "9"], "would bend the cosine schedule"),
        (["--overwrite"], "give one"),
    ):
        assert main(["--resume", "--workdir", str(work), *extra]) == 2
        assert message in capsys.readouterr().err


def test_other_rows_are_refused(rows_file, tmp_path, byte_rows, capsys):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, ADAM, 2), "--quiet"]) == 0
    np.save(rows_file, byte_rows[::-1].reshape(-1, 6, 6))
    assert main(["--resume", "--workdir", str(work), "--epochs", "4"]) == 1
    assert "the rows are not those" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, ADAM, 4), "--quiet"]) == 0
    last = sorted((work / "checkpoints").iterdir())[-1]
    for file in last.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert main(["--resume", "--workdir", str(work), "--epochs", "6"]) == 1
    error = capsys.readouterr().err
    assert str(last) in error
    assert error.count("\n") == 1


def test_a_second_ctrl_c_stops_in_the_middle_of_an_epoch(tmp_path, start):
    """The rows are resident, so that the epoch is one call of many seconds."""
    np.save(tmp_path / "long.npy", np.zeros((100_000, 784), np.uint8))
    slow = ["--batch-size", "1", "--layers", "512"]
    process = start(["--dataset", "long.npy", "--workdir", "run", *slow])
    wait_for(process, "model:")
    time.sleep(3)  # into the first epoch
    process.send_signal(signal.SIGINT)
    assert "stopping after this epoch" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    begin = time.perf_counter()
    _, error = process.communicate(timeout=60)
    assert time.perf_counter() - begin < 2
    assert process.returncode == 130
    assert "Traceback" not in error
    assert (tmp_path / "run" / "history.jsonl").read_text() == ""


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    rows_file, tmp_path, capsys
):
    work = tmp_path / "run"
    assert main([*arguments(rows_file, work, ADAM, 1), "--quiet"]) == 0
    before = json.loads((work / "history.jsonl").read_text())["loss"]
    shutil.rmtree(work / "checkpoints")
    facts = json.loads((work / "run.json").read_text())
    (work / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    capsys.readouterr()

    assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0

    assert "no checkpoint yet, and begins again" in capsys.readouterr().err
    assert json.loads((work / "history.jsonl").read_text())["loss"] == before
