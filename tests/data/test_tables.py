"""Array and table files written by numpy, csv and pyarrow, read back by tfae.data.tables."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfae.data import csv_text, tables
from tfae.errors import DataError


@pytest.fixture
def rows():
    return np.random.default_rng(0).random((9, 4), np.float32)


def write_csv(path, lines):
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return path


def write_parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def refusal(path):
    with pytest.raises(DataError) as caught:
        tables.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_npy_is_memory_mapped(tmp_path, rows):
    np.save(tmp_path / "a.npy", rows)
    parts = tables.read(tmp_path / "a.npy").arrays
    assert list(parts) == ["train"]
    assert isinstance(parts["train"], np.memmap)
    np.testing.assert_array_equal(parts["train"], rows)


@pytest.mark.parametrize(
    ("members", "train", "part", "own"),
    [
        (["y_train", "x_test", "x_train"], "x_train", "test", "x_test"),
        (["x_val", "x_train"], "x_train", "validation", "x_val"),
        (["train", "test"], "train", "test", "test"),
        (["train", "validation"], "train", "validation", "validation"),
        (["x_train"], "x_train", None, None),
        (["y", "x"], "x", None, None),
        (["other", "rows"], "rows", None, None),
        (["data", "target"], "data", None, None),
    ],
)
def test_npz_members(tmp_path, members, train, part, own):
    arrays = {name: np.full((3, 2), i) for i, name in enumerate(members)}
    np.savez(tmp_path / "a.npz", **arrays)
    parts = tables.read(tmp_path / "a.npz").arrays
    np.testing.assert_array_equal(parts.pop("train"), arrays[train])
    assert list(parts) == ([part] if part else [])
    if part:
        np.testing.assert_array_equal(parts[part], arrays[own])


def test_npz_with_one_array_of_rows(tmp_path, rows):
    np.savez_compressed(tmp_path / "a.npz", readings=rows, when=np.arange(9))
    np.testing.assert_array_equal(tables.read(tmp_path / "a.npz").arrays["train"], rows)


def test_npz_refusals(tmp_path, rows):
    path = tmp_path / "a.npz"
    np.savez(path, left=rows, right=rows)
    message = refusal(path)
    assert "left, right" in message
    assert "x_train" in message
    np.savez(path, y_train=np.arange(3), y_test=np.arange(3))
    assert "look like labels" in refusal(path)
    np.savez(path, x=np.array([[1, None]], object))
    assert "Python objects" in refusal(path)
    np.savez(path)
    assert "(none)" in refusal(path)
    np.save(tmp_path / "b.npy", rows)
    (tmp_path / "b.npy").rename(path)
    assert "no .npz file" in refusal(path)


def test_npy_of_objects(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, None]], object))
    assert "Python objects" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize("header", [["a", "b", "c", "d"], ["", "1", "2", "x"], None])
def test_csv_with_and_without_header(tmp_path, rows, header):
    lines = [[repr(float(value)) for value in row] for row in rows]
    path = write_csv(tmp_path / "a.csv", ([header] if header else []) + lines)
    read = tables.read(path).arrays["train"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rows)


def test_csv_with_byte_order_mark_quotes_and_blank_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf\n"a",b\r\n"1", 2\r\n\r\n3,4e1\r\n')
    np.testing.assert_array_equal(
        tables.read(tmp_path / "a.csv").arrays["train"], [[1, 2], [3, 40]]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1,2\n3,blue\n", "column 'b' holds text ('blue' in line 3); drop it"),
        ("1,2\n3,blue\n", "column 'f1' holds text ('blue' in line 2); drop it"),
        ("a;b\n1;2\n", "its cells are separated by ';'; save it with commas instead"),
        (
            "a;b\n1,5;2\n3;4,5\n",
            "separated by ';'; save it with commas instead, and decimal points",
        ),
        ("1\t2\n3\t4\n", "its cells are separated by '\\t'; save it with commas instead"),
        ("a,b\n1,2\n3,\n", "column 'b' has an empty cell in row 1 (counted from 0)"),
        ("1,,3\n4,5,6\n", "column 'f1' has an empty cell in row 0 (counted from 0)"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells and the lines before have 2"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells and the lines before have 2"),
    ],
)
def test_csv_refusals(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    assert message in refusal(tmp_path / "a.csv")


def test_csv_empty_cell_beyond_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 64)
    lines = [[i, i] for i in range(100)]
    path = write_csv(tmp_path / "a.csv", lines)
    np.testing.assert_array_equal(tables.read(path).arrays["train"], lines)
    lines[70][1] = ""
    write_csv(path, lines)
    assert "empty cell in row 70" in refusal(path)


def test_parquet_of_columns(tmp_path):
    columns = {
        "half": np.array([0.5, 1.5], np.float16),
        "double": np.array([1e-3, 2.0]),
        "int": np.array([-1, 7], np.int64),
        "flag": np.array([True, False]),
    }
    read = tables.read(write_parquet(tmp_path / "a.parquet", columns)).arrays["train"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.array([[0.5, 1e-3, -1, 1], [1.5, 2, 7, 0]], np.float32))


def test_parquet_of_bytes_stays_bytes(tmp_path):
    columns = {"a": np.array([1, 255], np.uint8), "b": np.array([0, 3], np.uint8)}
    read = tables.read(write_parquet(tmp_path / "a.parquet", columns)).arrays["train"]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, [[1, 0], [255, 3]])


def test_parquet_of_lists_in_many_row_groups(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 6), np.uint8)
    table = pa.table({"pixels": pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), 6)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=130)
    read = tables.read(tmp_path / "a.parquet").arrays["train"]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, 2.0], "name": ["x", "y"]}, "column 'name' holds string; drop it"),
        ({"a": [1.0, None, 3.0]}, "column 'a' has an empty cell in row 1 (counted from 0)"),
        (
            {"a": [[1.0], [2.0, 3.0]]},
            "column 'a' holds lists of several lengths (1 in row 0, 2 in row 1, counted from 0)",
        ),
        (
            {"v": pa.array([[1, 2], [3, None]], pa.list_(pa.int32(), 2))},
            "column 'v' has an empty cell in row 1 (counted from 0)",
        ),
        # pyarrow before 24 cannot read such a column, and is quoted; later ones can.
        ({"v": pa.array([[1, 2], None], pa.list_(pa.int32(), 2))}, "a.parquet: "),
    ],
)
def test_parquet_refusals(tmp_path, columns, message):
    assert message in refusal(write_parquet(tmp_path / "a.parquet", columns))


def test_unknown_suffix(tmp_path):
    for name in ("a.xlsx", "a"):
        (tmp_path / name).write_text("1,2\n")
        assert ".npy, .npz, .csv, .parquet or a folder of IDX files" in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", tables.READERS)
def test_random_damage_is_an_error_of_one_line_or_none(tmp_path, rows, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    elif suffix == ".npz":
        np.savez_compressed(path, x_train=rows, x_test=rows)
    elif suffix == ".csv":
        write_csv(path, rows)
    else:
        write_parquet(path, {str(i): rows[:, i] for i in range(4)})
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    refused = 0
    for trial in range(120):
        content = bytearray(good)
        if trial % 2:
            del content[rng.integers(len(content)) :]
        else:
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            tables.read(path)
        except DataError as problem:
            refused += 1
            if "\n" in str(problem):
                pytest.fail(f"more than a line: {problem}")
        except MemoryError:
            pass  # a header that promises too much; sources.load says so
    assert refused > 30
