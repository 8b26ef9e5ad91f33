"""What is said of .csv files that other programs write, or how they are read."""

import numpy as np
import pytest

from tfae.data import tables
from tfae.errors import DataError


def read(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tables.read(path)


REFUSED = {
    "semicolons": ("a;b\n1;2\n3;4\n", "separated by ';'; save it with commas instead"),
    "German": ("1,5;2,5\n3,5;4,5\n5,5;6,5\n", "separated by ';'; save it with commas instead, and"),
    "quoted semicolons": ('"a";"b"\n"1,5";"2,5"\n"3";"4"\n', "separated by ';'"),
    "told to Excel": ("sep=;\na;b\n1;2\n3;4\n", "separated by ';'"),
    "tabs": ("a\tb\n1,5\t2\n3\t4\n", "separated by '\\t'"),
    "bars": ("a|b\n1|2\n3|4\n", "separated by '|'"),
    "blanks": ("1 2\n3 4\n5 6\n", "separated by blanks"),
    "aligned blanks": ("  1.0   2\n 10.5  -4\n  5e3   6\n", "separated by blanks"),
    "Latin-1 names": ("größe,b\n1,2\n".encode("latin-1"), "not UTF-8 text, but perhaps Latin-1"),
    "Latin-1 far below": (
        b"a\n" + b"1\n" * 200_000 + b"\xb0\n",
        "0xb0 in line 200002); save it as",
    ),
    "UTF-16": ("a,b\n1,2\n3,4\n".encode("utf-16"), "is UTF-16 text; save it as CSV in UTF-8"),
    "UTF-16 unmarked": (
        "a,b\n1,2\n".encode("utf-16-be"),
        "is UTF-16 text, or no text at all; save",
    ),
    "a workbook": (b"PK\x03\x04\x14\x00\x06\x00rest", "no text at all; save it as CSV"),
    "a comment": (
        "# made by x\na,b\n1,2\n3,4\n",
        "line 1 ('# made by x') has 1 cell and the lines",
    ),
    "two comments": ("# x\n# y\na,b\n1,2\n3,4\n5,6\n", "line 1 ('# x') has 1 cell and"),
    "a title": ("Report, May\na,b,c\n1,2,3\n4,5,6\n", "line 1 ('Report, May') has 2 cells and"),
    "units": (
        "t,v\ns,V\n1,2\n3,4\n",
        "line 2 ('s, V') is no row of numbers, as the next is; delete",
    ),
    "units of some": ("t,v\n,[V]\n1,2\n3,4\n", "line 2 (', [V]') is no row of numbers"),
    "two lines of names": ("x,x\na,b\n1,2\n3,4\n", "line 2 ('a, b') is no row of numbers"),
    "thousands": ('a,b\n"1,000",2\n3,4\n', "'a' holds numbers with commas for thousands ('1,000'"),
    "thousands first": ('"1,000","2,000"\n3,4\n5,6\n', "commas for thousands ('1,000' in line 1)"),
    "decimal commas": (
        'a,b\n"1,5","2,5"\n"3,5",4\n',
        "'a' holds numbers with decimal commas ('1,5'",
    ),
    "text": (
        "a,b\n\n1,2\n\n3,x y\n",
        "column 'b' holds text ('x y' in line 5); drop it or turn it",
    ),
    "names of two lines": ('"a\nx",b\n1,2\n3,y\n', "column 'b' holds text ('y' in line 4)"),
    "Macintosh": ("a,b\r1,2\r3,x\r", "column 'b' holds text ('x' in line 3)"),
    "text without a name": (
        ",b\nx,1\ny,2\n",
        "column 1 (without a name) holds text ('x' in line 2)",
    ),
    "truth and numbers": ("a\n" + "true\n" * 300 + "5\n", "'a' holds true and false, but not only"),
    "long and fractions": (
        "a\n" + f"{10**16}\n" * 300 + "1.5\n",
        "whole numbers of many digits, but",
    ),
    "filled late": (
        "a,b,\n" + "1,2,\n" * 300 + "1,2,3\n",
        "empty in the first lines, but not later",
    ),
    "a named empty column": ("a,b\n1,\n3,\n", "column 'b' has an empty cell in row 0"),
    "nothing but commas": (",,\n,,\n", "column 'f0' has an empty cell in row 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_a_line_that_says_what_it_is(tmp_path, kind):
    content, message = REFUSED[kind]
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 't.csv'}: ")
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        ("a,b,\n1,2,\n3,4,\n", [3]),
        ("1,2,\n3,4,\n", [3]),
        ("a,b\n1,2,\n3,4,\n", [3]),
        ("a,b,,\n1,2,,\n3,4,,\n", [3, 4]),
        ("a,,b\n1,,2\n3,,4\n", [2]),
    ],
)
def test_columns_without_name_or_content_are_left_out(tmp_path, content, left_out):
    parts = read(tmp_path, content)
    np.testing.assert_array_equal(parts.arrays["train"], [[1, 2], [3, 4]])
    assert parts.notes == tuple(
        f"left out column {number} (without a name), which is empty" for number in left_out
    )


@pytest.mark.parametrize(
    "content",
    ["a,b\ntrue,2\nFALSE,4\n1,5\n", "TRUE,2\nFalse,4\ntrue,5\n", "a, b\n true,2\n0, 4\n True,5\n"],
)
def test_true_and_false_are_1_and_0(tmp_path, content):
    parts = read(tmp_path, content)
    np.testing.assert_array_equal(parts.arrays["train"], [[1, 2], [0, 4], [1, 5]])


def test_two_columns_may_have_one_name(tmp_path):
    np.testing.assert_array_equal(
        read(tmp_path, "a,a\n1,2\n3,4\n").arrays["train"], [[1, 2], [3, 4]]
    )
