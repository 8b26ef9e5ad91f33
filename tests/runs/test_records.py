"""run.json and history.jsonl read back: what was written, or what is wrong."""

import json

import pytest

from tfae.errors import DataError
from tfae.runs.records import by_epoch, flaw_of_history, read_history, read_run

RUNNING = json.loads(
    """{
    "status": "running",
    "dataset": {"name": "a", "title": "A", "origin": "a.npy", "reason": "", "rows": 9,
        "validation_rows": 1, "features": 4, "validation_from": "10 %", "sha256": "00"},
    "engine": {"name": "xla", "reason": "asked for", "threads": 2},
    "device": "CPU", "precision": "float32", "seed": 0, "layers": "4-2-4", "parameters": 22,
    "scaling": "none", "environment": {}, "warnings": ["a line"], "train_s": 0
}"""
)
DONE = RUNNING | json.loads(
    """{
    "status": "done", "epochs": 2, "stop_reason": null, "skipped_steps": 0, "epoch_s": null,
    "rows_per_s": 2.5, "peak_memory_gb": 0.5,
    "final": {"epoch": 2, "loss": null, "val_loss": 0.5, "mse": 0.1, "pca_mse": null}
}"""
)


@pytest.mark.parametrize("facts", [RUNNING, DONE, {**RUNNING, "more": [1]}])
def test_what_was_written_is_read(facts, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert read_run(tmp_path / "run.json") == facts
    assert read_run(tmp_path / "absent.json") == {}


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "Expecting value"),
        (b"\xff\xfe{", "utf-8"),
        ("[" * 100_000, "recursion"),
        ("[]", "what it holds is [], no object"),
        ("null", "no object"),
        ("{}", "'status' is missing"),
        ({"dataset": "x"}, "'dataset' is \"x\", no object"),
        ({"dataset": {}}, "'name' is missing"),
        ({"dataset": {**RUNNING["dataset"], "sha256": None}}, "'sha256' is null"),
        ({"dataset": {**RUNNING["dataset"], "rows": True}}, "'rows' is true"),
        ({"dataset": {**RUNNING["dataset"], "rows": 10**400}}, "'rows' is 1000"),
        ({"engine": None}, "'engine' is null, no object"),
        ({"engine": []}, "'engine' is [], no object"),
        ({"warnings": None}, "'warnings' is null, no list"),
        ({"warnings": [1]}, "a part of 'warnings' is 1"),
        ({"train_s": "x"}, "'train_s' is \"x\""),
        ({"status": "done"}, "'epochs' is missing"),
        ({"final": None}, "'epochs' is missing"),
        ({**DONE, "final": {**DONE["final"], "mse": "small"}}, "'mse' is \"small\""),
        ({**DONE, "stop_reason": 3}, "'stop_reason' is 3"),
    ],
)
def test_what_a_run_did_not_write_is_refused(text, flaw, tmp_path):
    path = tmp_path / "run.json"
    if isinstance(text, dict):
        text = json.dumps({**RUNNING, **text})
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_run(path)
    assert str(caught.value).startswith(f"{path} cannot be used (")
    assert flaw in str(caught.value)
    assert "\n" not in str(caught.value)


def record(epoch, **other):
    """Of an epoch, with numbers that tell it."""
    numbers = {"loss": 1 / epoch, "val_loss": None, "epoch_s": 0.5, "rows_per_s": 7.0}
    return {"epoch": epoch, **numbers, **other}


def test_lines_that_hold_no_record_are_left_out(tmp_path):
    lines = [
        *map(json.dumps, (record(2), record(1, loss=None), record(3, more=1))),
        *("", "null", "[]", "{}", "7", '{"epoch": 4', "\0" * 80, "[" * 100_000, "\\xff"),
        *(json.dumps({**record(4), name: "x"}) for name in record(4)),
        *(json.dumps({**record(4), "epoch": epoch}) for epoch in (0, -1, 1.0, True, 10**20)),
        *(json.dumps(record(4, loss=loss)) for loss in (float("nan"), float("inf"), 10**400)),
    ]
    path = tmp_path / "history.jsonl"
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe")
    assert read_history(path) == [record(2), record(1, loss=None), record(3, more=1)]
    assert read_history(tmp_path / "absent.jsonl") == []
    with pytest.raises(DataError, match="cannot be read"):
        read_history(tmp_path)


@pytest.mark.parametrize(
    ("epochs", "last", "flaw"),
    [
        ([1, 2, 3], 3, ""),
        ([1, 2, 3, 4], 3, ""),  # a run that was killed after its checkpoint
        ([], 0, ""),
        ([], 3, "has no record of epoch 1 to 3"),
        ([2, 5], 7, "has no record of epoch 1, 3 to 4, 6 to 7"),
        ([1, 2, 1, 2], 2, "had records twice or out of order"),
        ([3, 1], 3, "has no record of epoch 2 and had records twice or out of order"),
    ],
)
def test_there_is_one_record_an_epoch_in_order(epochs, last, flaw):
    records = [record(epoch) for epoch in epochs]
    assert flaw_of_history(records, last) == flaw
    put_right = by_epoch(records, last)
    nulls = dict.fromkeys(("loss", "val_loss", "epoch_s", "rows_per_s"))
    assert put_right == [
        record(epoch) if epoch in epochs else {"epoch": epoch, **nulls}
        for epoch in range(1, last + 1)
    ]
    assert flaw_of_history(put_right, last) == ""


def test_of_two_records_of_an_epoch_the_later_counts():
    assert by_epoch([record(1, loss=9.0), record(2), record(1)]) == [record(1), record(2)]
