"""Columns that number the rows, as pandas and R write them: left out, or warned of."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfae.data import sources, tables

X = np.random.default_rng(0).random((20, 2)).round(3)
FRAME = pd.DataFrame(X, columns=["a", "b"])
SHUFFLED = FRAME.sample(frac=1, random_state=0)
LEVELS = [np.repeat(range(4), 5), np.tile(range(5), 4)]


def reread(frame):
    return pd.read_csv(io.StringIO(frame.to_csv()))


def r_lines(names, quote):
    rows = (f"{quote}{i + 1}{quote},{a},{b}\n" for i, (a, b) in enumerate(X))
    return ",".join(names) + "\n" + "".join(rows)


PARQUET = {
    "counting": FRAME,
    "shuffled": SHUFFLED,
    "filtered": FRAME.drop(index=[3, 9]),
    "named": FRAME.set_index(pd.Index(np.random.default_rng(1).permutation(20), name="customer")),
    "of two levels": FRAME.set_index(LEVELS),
    "of two named levels": FRAME.set_index(pd.MultiIndex.from_arrays(LEVELS, names=["g", "h"])),
    "of times": FRAME.set_index(pd.date_range("2020", periods=20)),
    "of text": FRAME.set_index(pd.Index([f"r{i}" for i in range(20)])),
    "in front": reread(FRAME),
    "in front, twice": reread(reread(SHUFFLED)),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_an_index_in_parquet_is_left_out(tmp_path, kind):
    frame = PARQUET[kind]
    frame.to_parquet(tmp_path / "t.parquet")
    parts = tables.read(tmp_path / "t.parquet")
    np.testing.assert_array_equal(parts.arrays["train"], frame[["a", "b"]].to_numpy(np.float32))
    assert parts.names == ["a", "b"]
    left = len(pq.read_schema(tmp_path / "t.parquet").names) - 2
    assert [note.startswith("left out column '") for note in parts.notes] == [True] * left


def test_an_index_is_known_by_its_name_where_the_metadata_is_gone(tmp_path):
    SHUFFLED.to_parquet(tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet").replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "t.parquet")
    assert tables.read(tmp_path / "t.parquet").names == ["a", "b"]


def test_bytes_beside_an_index_stay_bytes(tmp_path):
    pixels = pd.DataFrame(np.arange(60, dtype=np.uint8).reshape(20, 3), columns=list("abc"))
    pixels.iloc[::-1].to_parquet(tmp_path / "t.parquet")
    assert tables.read(tmp_path / "t.parquet").arrays["train"].dtype == np.uint8
    reread(pixels).astype(dict.fromkeys("abc", "u1")).to_parquet(tmp_path / "t.parquet")
    read = tables.read(tmp_path / "t.parquet").arrays["train"]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


CSV = {
    "counting": FRAME.to_csv(),
    "shuffled": SHUFFLED.to_csv(),
    "filtered": FRAME.drop(index=[3, 9]).to_csv(),
    "of big ids": FRAME.set_index(SHUFFLED.index + 10**9).to_csv(),
    "read and written": reread(FRAME).to_csv(index=False),
    "read and written twice": reread(reread(FRAME)).to_csv(),
    "made a column": SHUFFLED.reset_index().to_csv(index=False),
    "of two levels": FRAME.set_index(LEVELS).to_csv(),
    "R's row names": r_lines(['""', '"a"', '"b"'], '"'),
    "R's, not named": r_lines(["a", "b"], ""),
    "below a corner": FRAME.set_axis([2001, 2002], axis=1).to_csv(),
}


@pytest.mark.parametrize("kind", CSV)
def test_an_index_in_csv_is_left_out(tmp_path, kind):
    (tmp_path / "t.csv").write_text(CSV[kind])
    parts = tables.read(tmp_path / "t.csv")
    expected = X.astype(np.float32)
    if kind == "filtered":
        expected = np.delete(expected, [3, 9], axis=0)
    if kind in ("shuffled", "made a column"):
        expected = expected[SHUFFLED.index]
    np.testing.assert_array_equal(parts.arrays["train"], expected)
    assert any(note.startswith("left out column") for note in parts.notes)


@pytest.mark.parametrize(
    "front", [np.arange(20) / 4, np.arange(20) % 5, np.ones(20)], ids=["fractions", "twice", "one"]
)
def test_a_nameless_column_of_values_is_none(tmp_path, front):
    frame = FRAME.copy()
    frame.insert(0, "", front)
    frame.to_csv(tmp_path / "t.csv", index=False)
    parts = tables.read(tmp_path / "t.csv")
    np.testing.assert_array_equal(parts.arrays["train"], frame.to_numpy(np.float32))
    (note,) = parts.notes
    assert "column 1 (without a name) stands in front and is trained on" in note


def test_what_only_a_program_calls_so_is_left_out_whatever_it_holds(tmp_path):
    frame = FRAME.copy()
    frame.insert(0, "Unnamed: 0", np.arange(len(frame)) % 7)
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        getattr(frame, f"to_{path.suffix[1:]}")(path, index=False)
        parts = tables.read(path)
        np.testing.assert_array_equal(parts.arrays["train"], FRAME.to_numpy(np.float32))
        assert "'Unnamed: 0', which is an index by its name" in parts.notes[0]


def test_whether_it_is_one_is_known_at_the_end(tmp_path):
    front = np.arange(1000)
    front[-1] = 3
    frame = pd.DataFrame(np.random.default_rng(0).random((1000, 2)), index=front)
    frame.to_csv(tmp_path / "t.csv", header=["a", "b"])
    read = tables.read(tmp_path / "t.csv").arrays["train"]
    np.testing.assert_array_equal(read[:, 0], front)
    np.testing.assert_array_equal(read[:, 1:], frame.to_numpy(np.float32))


@pytest.mark.parametrize("order", [np.arange(20), SHUFFLED.index, np.arange(20)[::-1] + 7])
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy"])
def test_a_column_with_a_name_that_counts_is_kept_and_warned_of(tmp_path, order, suffix):
    frame = FRAME.assign(id=np.asarray(order))
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        np.save(path, frame.to_numpy())
    source = sources.load(str(path))
    name = "column 2" if suffix == "npy" else "column 'id'"
    assert source.train.shape[1] == 3
    assert len(source.notes) == 1
    assert f"{name} counts the rows, {min(order)} to {max(order)}, and is" in source.notes[0]


def test_a_table_of_an_index_alone_is_refused(tmp_path):
    pq.write_table(pa.table({"__index_level_0__": [3, 1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="holds pandas' index and no other column; give it"):
        tables.read(tmp_path / "t.parquet")
