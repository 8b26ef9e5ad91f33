"""The kinds of columns that pandas and pyarrow write to Parquet: numbers are read, others named."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfae.data import tables
from tfae.errors import DataError

LISTS = np.random.default_rng(0).random((20, 4)).astype(np.float32)
READ = {
    "decimals": (pa.array([Decimal("1.50"), Decimal("-2.25")]), [[1.5], [-2.25]]),
    "long decimals": (
        pa.array([Decimal("1.50"), Decimal("-2.25")], pa.decimal256(50, 4)),
        [[1.5], [-2.25]],
    ),
    "categories of numbers": (pa.array([7, 5]).dictionary_encode(), [[7], [5]]),
    "lists": (pa.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "large lists": (pa.array([[1, 2], [3, 4]], pa.large_list(pa.int8())), [[1, 2], [3, 4]]),
    "lists of lists": (pa.array([[[1], [2]], [[3], [4]]]), [[1, 2], [3, 4]]),
    "lists of truth": (pa.array([[True, False], [False, True]]), [[1, 0], [0, 1]]),
}


@pytest.mark.parametrize("kind", READ)
def test_numbers_in_other_clothes(tmp_path, kind):
    column, expected = READ[kind]
    pq.write_table(pa.table({"v": column}), tmp_path / "t.parquet")
    np.testing.assert_array_equal(tables.read(tmp_path / "t.parquet").arrays["train"], expected)


@pytest.mark.parametrize(
    "dtype", ["Int64", "UInt8", "Float64", "boolean", "int64[pyarrow]", "category"]
)
def test_numbers_of_every_dtype_of_pandas(tmp_path, dtype):
    frame = pd.DataFrame({"a": LISTS[:, 0], "c": pd.Series([0, 1] * 10).astype(dtype)})
    frame.to_parquet(tmp_path / "t.parquet")
    read = tables.read(tmp_path / "t.parquet").arrays["train"]
    np.testing.assert_array_equal(read, np.column_stack([LISTS[:, 0], [0, 1] * 10]))


def test_embeddings_as_pandas_writes_them_beside_other_columns(tmp_path):
    frame = pd.DataFrame({"v": list(LISTS)})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=7)
    np.testing.assert_array_equal(tables.read(tmp_path / "t.parquet").arrays["train"], LISTS)
    frame.assign(age=np.arange(20) / 2).to_parquet(tmp_path / "t.parquet")
    parts = tables.read(tmp_path / "t.parquet")
    expected = np.column_stack([LISTS, np.arange(20) / 2])
    np.testing.assert_array_equal(parts.arrays["train"], expected)
    assert parts.names == ["v[0]", "v[1]", "v[2]", "v[3]", "age"]


REFUSED = {
    "lists of two lengths": (
        pa.array([[1.0], [2.0, 3.0]]),
        "lists of several lengths (1 in row 0, 2",
    ),
    "an empty list": (pa.array([[1.0], []]), "lists of several lengths (1 in row 0, 0 in row 1"),
    "no list": (pa.array([[1.0], None]), "has an empty cell in row 1 (counted from 0)"),
    "a gap in a list": (
        pa.array([[1.0, 2], [3, None]]),
        "has an empty cell in row 1 (counted from 0)",
    ),
    "a gap among categories": (pa.array([7, None]).dictionary_encode(), "an empty cell in row 1"),
    "a gap among decimals": (pa.array([Decimal(1), None]), "an empty cell in row 1"),
    "categories": (pa.array(["x", "y"]).dictionary_encode(), "holds categories of string; drop"),
    "times": (pa.array([1, 2], pa.timestamp("us")), "holds times (timestamp[us]); drop it or turn"),
    "dates": (pa.array([1, 2], pa.date32()), "holds times (date32[day])"),
    "durations": (pa.array([1, 2], pa.duration("s")), "holds times (duration[s])"),
    "nothing": (pa.nulls(2), "is empty throughout; drop it"),
    "structures": (
        pa.array([{"x": 1}] * 2),
        "holds struct<x: int64>; drop it or turn it into numbers",
    ),
    "lists of text": (pa.array([["x"], ["y"]]), "holds list<element: string>; drop it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_columns_are_refused_by_name(tmp_path, kind):
    column, message = REFUSED[kind]
    pq.write_table(pa.table({"a": [1.0, 2.0], "c": column}), tmp_path / "t.parquet")
    with pytest.raises(DataError) as caught:
        tables.read(tmp_path / "t.parquet")
    assert f"{tmp_path / 't.parquet'}: column 'c' " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_that_differ_between_row_groups(tmp_path):
    table = pa.table({"c": [[1, 2]] * 10 + [[1, 2, 3]] * 10})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=5)
    with pytest.raises(DataError, match=r"column 'c' holds .* lengths \(2 in row 0, 3 in row 10"):
        tables.read(tmp_path / "t.parquet")
