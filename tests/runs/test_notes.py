"""What was guessed about the rows is said once, whatever is asked for, and stands in run.json."""

import json

import numpy as np
import pandas as pd

from tfae.train import main


def test_notes_are_warnings_also_when_quiet_and_are_not_doubled_by_a_resume(tmp_path, capsys):
    frame = pd.DataFrame(np.random.default_rng(0).random((40, 3)), columns=list("abc"))
    frame = frame.assign(id=np.arange(40) + 100_000_001).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "t.csv")
    small = ["--layers", "2", "--batch-size", "16", "--engine", "xla", "--quiet"]
    run = ["--dataset", str(tmp_path / "t.csv"), "--workdir", str(tmp_path / "run"), *small]
    assert main([*run, "--epochs", "1"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in said] == ["warning"] * 2
    assert "left out column 1 (without a name)" in said[0]
    assert "column 'id' holds whole numbers up to 100,000,040" in said[1]
    assert main([*run, "--epochs", "2", "--resume"]) == 0
    assert capsys.readouterr().err.splitlines()[:2] == said
    warnings = json.loads((tmp_path / "run" / "run.json").read_text())["warnings"]
    assert [f"warning: {line}" for line in warnings] == said
