"""Whether the first line of a .csv is names: files as pandas and numpy write them, and others."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from tfae.data import sources
from tfae.errors import DataError

RNG = np.random.default_rng(0)
UNIT = RNG.random((30, 3)).round(4)
DIGITS = RNG.integers(0, 10, (60, 4))


def loaded(tmp_path, text):
    """The rows in the file's order, and the notes."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    source = sources.load(str(path))
    assert all(note.startswith(f"{path}: ") and "\n" not in note for note in source.notes)
    rows = np.empty((len(source.train) + len(source.validation), source.train.shape[1]), np.float32)
    rows[source.validation_index] = source.validation
    rows[np.setdiff1d(np.arange(len(rows)), source.validation_index)] = source.train
    return rows, source.notes


def refusal(tmp_path, text):
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 't.csv'}: ")
    return message.partition(": ")[2]


def lines(first, rows):
    return first + "\n" + pd.DataFrame(rows).to_csv(index=False, header=False)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("2001,2002,2003", UNIT),
        ("2003,2001,2002", UNIT),
        ("2001,2002,2003,2004", DIGITS),
        ("0,1,2", UNIT),
        ("0,1,2,3", DIGITS),
        ("1,2,3", UNIT * 10),
        ("400,410,420", UNIT),
        ("401.5,404.25,409.1", UNIT),
        ("400.0,410.0,420.0,430.0", DIGITS),
        ("7,12,40", UNIT),
        ("id,2001,2002", UNIT),
        ("0,1", UNIT[:, :2]),
    ],
)
def test_a_line_of_numbers_unlike_the_rest_is_names_and_that_is_said(tmp_path, header, rows):
    read, notes = loaded(tmp_path, lines(header, rows))
    np.testing.assert_array_equal(read, rows.astype(np.float32))
    assert "taken for names" in notes[0]
    assert header.split(",")[0] in notes[0]


@pytest.mark.parametrize("header", ['"2001","2002","2003"', '"0.5","0.7","0.6"', '"a","7","c"'])
def test_quoted_cells_above_numbers_that_are_not_are_names(tmp_path, header):
    read, notes = loaded(tmp_path, lines(header, UNIT))
    np.testing.assert_array_equal(read, UNIT.astype(np.float32))
    assert notes == ()


@pytest.mark.parametrize("header", ["a,b,c", "# a,b,c", "25%,50%,75%", "2020-01-01,2020-01-02,x"])
def test_words_are_names_without_a_note(tmp_path, header):
    read, notes = loaded(tmp_path, lines(header, UNIT))
    assert len(read) == 30
    assert notes == ()


@pytest.mark.parametrize("x", [UNIT, DIGITS], ids=["floats", "digits"])
def test_what_pandas_writes_of_an_array_is_read_back(tmp_path, x):
    frame = pd.DataFrame(x)
    years = frame.set_axis(range(1990, 1990 + x.shape[1]), axis=1)
    for text in (
        frame.to_csv(),
        frame.to_csv(index=False),
        years.to_csv(),
        years.to_csv(index=False),
        years.sample(frac=1, random_state=0).sort_index().to_csv(quoting=2),
    ):
        np.testing.assert_array_equal(loaded(tmp_path, text)[0], x.astype(np.float32))


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
@pytest.mark.parametrize("form", [None, "%g", "%.18e"])
def test_real_rows_without_names_stay_rows_whatever_comes_first(tmp_path, name, form):
    data = getattr(datasets, f"load_{name}")().data
    for seed in range(4):
        rows = np.random.default_rng(seed).permutation(data)[:150]
        text = io.StringIO()
        if form:
            np.savetxt(text, rows, form, delimiter=",")
        else:
            pd.DataFrame(rows).to_csv(text, index=False, header=False)
        read, notes = loaded(tmp_path, text.getvalue())
        assert len(read) == 150
        assert not any("first line" in note for note in notes)


@pytest.mark.parametrize(
    "rows",
    [
        np.arange(30).reshape(10, 3),
        np.arange(9)[:, None],
        np.stack([np.arange(1, 9), np.arange(1, 9) ** 2], 1),
        np.sort(RNG.random((50, 4)), 0),
        RNG.random((40, 5)).cumsum(1),
        np.lib.stride_tricks.sliding_window_view(np.arange(40), 6),
        np.argsort(RNG.random((300, 5)), 1) + 1,
        np.eye(8, dtype=int)[RNG.integers(0, 8, 50)],
        np.ones((9, 3)),
        np.column_stack([np.arange(50), RNG.random((50, 2))]),
    ],
)
def test_tables_that_look_like_names_stay_rows(tmp_path, rows):
    text = pd.DataFrame(rows).to_csv(index=False, header=False)
    np.testing.assert_array_equal(loaded(tmp_path, text)[0], rows.astype(np.float32))


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        ("900,20,4,400", DIGITS),
        ("2001.5,2003.1,0.5", UNIT),
        ("5", UNIT[:, :1]),
        ("2001", UNIT[:, :1]),
        ("1,0", UNIT[:, :2]),
    ],
)
def test_a_line_that_may_be_either_is_a_row_and_that_is_said(tmp_path, first, rows):
    read, notes = loaded(tmp_path, lines(first, rows))
    assert len(read) == len(rows) + 1
    assert f"the first line ({first.replace(',', ', ')}) was taken for a row" in notes[0]


CELLS = [
    "?",
    "-",
    "N.A.",
    "1.5D+02",
    "0x1F",
    "1_000",
    "NaN?",
    "abc",
    "..",
    "missing",
    "12%",
    "<0.1",
]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("column", [0, 2])
def test_a_cell_that_is_no_number_is_refused_in_the_first_line_as_in_any(tmp_path, cell, column):
    rest = "".join(f"{i},{i + 0.5},{i / 7}\n" for i in range(20))
    first = ["4", "2.5", "3"]
    first[column] = cell
    for text, line in ((",".join(first) + "\n" + rest, 1), (rest + ",".join(first) + "\n", 21)):
        message = refusal(tmp_path, text)
        assert f"column 'f{column}' holds text ({cell!r} in line {line})" in message


@pytest.mark.parametrize("first", ["?,?,3", "?,-,n/a", "1D2,2D2,3D2", "n.a.,2.5,?"])
def test_nor_do_several_such_cells_make_names(tmp_path, first):
    rest = "".join(f"{i},{i + 0.5},{i / 7}\n" for i in range(20))
    assert re.match(
        r"column 'f\d' holds text \(.* in line 1\)", refusal(tmp_path, first + "\n" + rest)
    )


def test_one_line_and_names_alone_are_refused(tmp_path):
    assert "holds 1 row; at least 3" in refusal(tmp_path, "1,2\n")
    assert "has names and no rows" in refusal(tmp_path, "a,b\n")
