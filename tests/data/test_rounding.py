"""Numbers that float32 does not tell apart are named, from every kind of file; others are not."""

import numpy as np
import pandas as pd
import pytest

from tfae.data import csv_text, sources

N = 100
RNG = np.random.default_rng(0)
LOSSY = {
    "ids": np.arange(N) + 100_000_001,
    "epoch seconds": np.arange(N) + 1_700_000_000,
    "negative": -np.arange(N) - 2**31,
    "of 60 bits": np.arange(N) + 2**60,
    "seconds with fractions": np.arange(N) / 4 + 1_700_000_000.25,
    "small changes": 101325 + np.arange(N) / 1000,
}
HARMLESS = {
    "random": RNG.random(N),
    "up to 2^24": np.arange(N) + 2**24 - N,
    "far apart": np.arange(N) * 2**22 + 2**25,
    "one value": np.full(N, 2**40 + 1),
    "two values": np.where(np.arange(N) % 3, 1e6, 1e6 + 1),
    "halves": np.arange(N) / 2 + 2**20,
    "huge": RNG.random(N) * 1e30,
}


def notes(tmp_path, column, suffix):
    frame = pd.DataFrame({"a": RNG.random(N), "t": column, "b": RNG.random(N)})
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "npy":
        np.save(path, np.stack([column, column]).T)
    else:
        np.savez(path, x_train=np.stack([column, column]).T)
    return sources.load(str(path)).notes


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
@pytest.mark.parametrize("kind", LOSSY)
def test_what_falls_together_is_named_and_counted(tmp_path, kind, suffix):
    column = LOSSY[kind]
    after = len(np.unique(column.astype(np.float32)))
    said = [note for note in notes(tmp_path, column, suffix) if "counts the rows" not in note]
    assert len(said) == (1 if suffix in ("csv", "parquet") else 2)
    name = "column 't'" if suffix in ("csv", "parquet") else "column 0"
    assert f": {name} " in said[0]
    assert f"{N} different values in {N} rows become {after}; subtract an offset" in said[0]
    if column.dtype.kind == "i":
        assert f"{column[np.argmax(np.abs(column))]:,}, which float32 rounds" in said[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
def test_whole_numbers_that_are_changed_but_stay_apart_are_named_and_counted(tmp_path, suffix):
    column = np.arange(N) * 1_234_567 + 2**26
    changed = (column.astype(np.float32).astype(int) != column).sum()
    said = notes(tmp_path, column, suffix)
    assert f"which float32 rounds: {changed} of {N} are changed; subtract an offset" in said[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
@pytest.mark.parametrize("kind", HARMLESS)
def test_nothing_is_said_of_what_stays_apart(tmp_path, kind, suffix):
    said = notes(tmp_path, HARMLESS[kind], suffix)
    assert not [note for note in said if "counts the rows" not in note]


def test_what_was_rounded_before_is_known_by_its_steps(tmp_path):
    rows = np.float32(1.7e9) + RNG.random((200, 2)).astype(np.float32) * 1000
    np.save(tmp_path / "t.npy", rows)
    said = sources.load(str(tmp_path / "t.npy")).notes
    assert [f"column {i} lies so far from zero for its range" in said[i] for i in (0, 1)]
    assert f"leaves it {len(np.unique(rows[:, 0]))} different values" in said[0]


def test_many_columns_are_counted_and_not_listed(tmp_path):
    np.save(tmp_path / "t.npy", np.arange(3000).reshape(100, 30) + 2**31)
    said = sources.load(str(tmp_path / "t.npy")).notes
    assert len(said) == 4
    assert said[3].endswith("float32 rounds 27 more columns in the same way")


def test_a_column_that_grows_beyond_the_limit_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(sources, "CHUNK_VALUES", 1 << 9)
    ids = np.arange(4000) + 2**24 - 3000
    pd.DataFrame({"id": ids, "a": RNG.random(4000)}).to_csv(tmp_path / "t.csv", index=False)
    assert "column 'id' holds whole numbers" in sources.load(str(tmp_path / "t.csv")).notes[0]
    np.save(tmp_path / "t.npy", np.stack([ids, ids * 3], axis=1))
    assert "column 0 holds whole numbers" in sources.load(str(tmp_path / "t.npy")).notes[0]


def test_fractions_that_are_close_only_within_a_block_are_not_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CHUNK_VALUES", 8)
    rows = np.sort(RNG.random((40_000, 1)), axis=0) + 1
    np.save(tmp_path / "t.npy", rows)
    assert sources.load(str(tmp_path / "t.npy")).notes == ()


def test_images_are_looked_at_too(tmp_path):
    np.save(tmp_path / "t.npy", (np.arange(400).reshape(100, 2, 2) + 2**31).astype(np.uint32))
    assert "column 3" not in sources.load(str(tmp_path / "t.npy")).notes[0]
    assert "column 0 holds whole numbers up to" in sources.load(str(tmp_path / "t.npy")).notes[0]
