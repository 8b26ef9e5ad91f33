"""A run under way: nobody else writes into its directory, and a killed one leaves no trace."""

import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tfae.runs.workdir import WorkDir
from tfae.train import main

# What training by every way that goes through tf.data leaves in the temporary directory.
USED = """
import os, sys
import keras, numpy as np, tfae
from tfae.train import main
model = keras.Sequential(
    [keras.Input((36,)), keras.layers.Dropout(0.2), keras.layers.Dense(4), keras.layers.Dense(36)]
)
model.compile("adam", "mse")
tfae.fit(model, np.random.rand(64, 36), epochs=2, verbose=0)
for options in ([], ["--block-rows", "64"]):
    assert main(["--dataset", sys.argv[1], "--quiet", "--epochs", "1"] + options) == 0
os._exit(7)
"""
SMALL = ["--layers", "4", "--optimizer", "adam", "--quiet"]


def snapshot(work):
    """Every file but those that the run itself goes on writing."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in work.iterdir()
        if path.is_file() and path.name != "history.jsonl" and not path.name.startswith(".")
    }


def others(rows_file, work):
    """The command lines of a second run into the directory."""
    return (
        ["--resume", "--workdir", str(work)],
        ["--dataset", str(rows_file), "--workdir", str(work), "--overwrite", *SMALL],
        ["--dataset", str(rows_file), "--workdir", str(work), *SMALL],
    )


def test_a_second_run_into_the_directory_is_one_line_and_a_kill_ends_the_first(
    rows_file, tmp_path, capsys
):
    work = tmp_path / "run"
    (tmp_path / "temporary").mkdir()
    endless = ["--dataset", str(rows_file), "--workdir", str(work), "--epochs", "1000000", *SMALL]
    first = subprocess.Popen(
        [sys.executable, "-m", "tfae.train", *endless],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    try:
        while not list(work.glob("checkpoints/epoch-*")):
            assert first.poll() is None
            time.sleep(0.1)
        before = snapshot(work)
        for arguments in others(rows_file, work):
            assert main(arguments) == 1
            assert capsys.readouterr().err == (
                f"tfae: a run is under way in {work}: wait for it, or stop it first\n"
            )
        assert snapshot(work) == before
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    assert list((tmp_path / "temporary").iterdir()) == []
    lines = (work / "history.jsonl").read_text().splitlines()[:-1]  # the last may be half written
    epochs = [json.loads(line)["epoch"] for line in lines]
    assert epochs == list(range(1, len(epochs) + 1))
    assert main([*others(rows_file, work)[1], "--epochs", "1"]) == 0


def test_the_directory_is_free_again_after_every_ending(rows_file, tmp_path, capsys):
    work = tmp_path / "run"
    arguments = ["--dataset", str(rows_file), "--workdir", str(work), "--epochs", "1", *SMALL]
    work.mkdir()
    with WorkDir(work):
        for other in others(rows_file, work):
            assert main(other) == 1
            assert "a run is under way" in capsys.readouterr().err
    assert main(arguments) == 0
    assert main([*arguments, "--overwrite", "--dataset", "absent.npy"]) == 1
    assert main(arguments) == 2
    assert main(["--resume", "--workdir", str(work), "--quiet"]) == 0
    assert main([*arguments, "--overwrite"]) == 0
    assert not [path for path in work.iterdir() if path.name.startswith(".")]


def test_a_run_that_began_in_a_directory_meanwhile_is_left_alone(rows_file, tmp_path, capsys):
    """The directory is not there when the command line is read, and is when the run begins."""
    from tfae.config import TrainConfig

    late = WorkDir(tmp_path / "run")
    with late:
        with WorkDir(tmp_path / "run") as early:
            early.create(TrainConfig())
            with pytest.raises(RuntimeError, match="a run is under way"):
                late.create(TrainConfig(), overwrite=True)
        with pytest.raises(ValueError, match="holds a run already"):
            late.create(TrainConfig())


def test_what_a_killed_write_left_is_removed_by_the_next_run(rows_file, tmp_path):
    work = tmp_path / "run"
    arguments = ["--dataset", str(rows_file), "--workdir", str(work), "--epochs", "2", *SMALL]
    assert main(arguments) == 0
    for name in (".model.7.partial.keras", "checkpoints/.epoch-000009.partial"):
        (work / name).write_text("half")
    assert main(["--resume", "--workdir", str(work), "--epochs", "3", "--quiet"]) == 0
    assert not list(work.rglob(".*"))


def test_nothing_stays_in_the_temporary_directory(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (200, 6, 6), "uint8"))
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run([sys.executable, "-c", USED, str(tmp_path / "x.npy")], env=environment)
    assert done.returncode == 7
    assert list((tmp_path / "temporary").iterdir()) == []
