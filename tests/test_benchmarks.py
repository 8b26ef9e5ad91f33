"""The README says what the committed JSON says, and a benchmark runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent


def run(*arguments, **kwargs):
    """A benchmark as a process, from the project's directory."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **kwargs)


def test_the_readme_has_the_committed_numbers():
    done = run("benchmarks.report", "--check")
    assert done.returncode == 0, done.stderr


def test_the_keras_script_stands_alone(tmp_path):
    """The peer leaves what a run of tfae leaves, and does not use tfae."""
    assert "import tfae" not in (ROOT / "benchmarks" / "keras_tutorial.py").read_text()
    rows = np.random.default_rng(0).integers(0, 256, (64, 784)).astype(np.uint8)
    np.savez(tmp_path / "rows.npz", x_train=rows, x_test=rows[:16])
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    arguments = ("--epochs", "1", str(tmp_path / "rows.npz"), str(tmp_path / "out"))
    done = run("benchmarks.keras_tutorial", *arguments, env=environment)
    assert done.returncode == 0, done.stderr
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"model.keras", "loss.png", "reconstructions.png", "times.json"}
    assert json.loads((tmp_path / "out" / "times.json").read_text())["train_s"] > 0
