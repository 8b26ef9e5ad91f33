"""The first lines of a .csv as text: its encoding, its separator, its cells."""

import csv
import io
import re
from typing import NamedTuple

from tfae.errors import DataError

SAMPLED_RECORDS = 200
SAMPLED_CELLS = 20_000
HEAD_BYTES = 1 << 18
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = b"\xff\xfe", b"\xfe\xff"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Numbers of other programs, which float() and pyarrow do not take.
ODD_NUMBER = re.compile(
    r"[+-]?([iI]nf(inity)?|INF|0[xX][\da-fA-F]+|[\d.]+[dD][+-]?\d+|\d+(_\d+)+"
    r"|\d{1,3}([,.' ]\d{3})+([.,]\d*)?|\d*,\d+)"
)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


class Record(NamedTuple):
    """A line, or the lines that quotes hold together.

    Attributes:
        line: The number of its first line, from 1.
        cells: Without blanks around them.
        quoted: Of each cell, whether it stands in quotes.
        end: Where it ends, in bytes of the file.
    """

    line: int
    cells: list[str]
    quoted: list[bool]
    end: int


def sample(path):
    """The first records of a file, blank lines left out, and how many bytes stand before them.

    Raises:
        DataError: The file is empty, or not UTF-8 text.
    """
    limit = HEAD_BYTES
    with open(path, "rb") as stream:
        head = stream.read(limit)
        # Wide rows: what is guessed of the first line needs others to compare with.
        while len(head) == limit and head.count(b"\n") < 10 and limit < HEAD_BYTES << 6:
            limit *= 2
            head += stream.read(limit - len(head))
        whole = not stream.read(1)
    if head.startswith(UTF16_MARKS) or b"\0" in head[:64]:
        kind = "UTF-16 text" if head.startswith(UTF16_MARKS) else "UTF-16 text, or no text at all"
        raise DataError(f"{path}: is {kind}; save it as CSV in UTF-8")
    start = len(UTF8_MARK) if head.startswith(UTF8_MARK) else 0
    if not whole:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    records = _records(_decoded(head[start:], path), start)
    if not records:
        raise DataError(f"{path}: is empty; give a file with a row of numbers per line")
    return records, start


def _decoded(head, path):
    try:
        return head.decode()
    except UnicodeDecodeError:
        refuse_other_encodings(path)
        raise


def refuse_other_encodings(path):
    """Raises DataError, naming the line, where a file is not UTF-8."""
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError as problem:
                raise DataError(
                    f"{path}: is not UTF-8 text, but perhaps Latin-1 (byte "
                    f"0x{line[problem.start]:02x} in line {number}); save it as CSV in UTF-8"
                ) from None


def _records(text, end):
    taken, records, cells, line = [], [], 0, 1

    def lines():
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(lines())
    for record in reader:
        raw = "".join(taken)
        taken.clear()
        end += len(raw.encode())
        if record:
            stripped = [cell.strip() for cell in record]
            records.append(Record(line, stripped, _quoted(raw, len(record)), end))
            cells += len(record)
        line = reader.line_num + 1
        if len(records) >= 4 and (len(records) >= SAMPLED_RECORDS or cells >= SAMPLED_CELLS):
            break
    return records


def _quoted(raw, count):
    bare = raw.strip().split(",")
    if len(bare) != count:  # commas inside the quotes: those are words, or numbers that are refused
        return [False] * count
    return [cell.lstrip().startswith('"') for cell in bare]


def refuse_other_separators(records, path):
    """Raises DataError where the cells of all lines but the first are parted by no comma."""
    rows = [",".join(record.cells) for record in records[1:] or records]
    for separator, shown in ((";", "';'"), ("\t", "'\\t'"), ("|", "'|'"), (None, "blanks")):
        split = [row.split(separator) for row in rows]
        pieces = [piece.strip() for row in split for piece in row]
        meant = [
            piece for piece in pieces if NUMBER.fullmatch(piece) or ODD_NUMBER.fullmatch(piece)
        ]
        alike = len({len(row) for row in split}) == 1
        if not alike or len(split[0]) < 2 or 2 * len(meant) < len(pieces):
            continue
        if separator is None and any("," in row for row in rows):
            continue
        raise DataError(
            f"{path}: its cells are separated by {shown}; save it with commas instead, and decimal "
            "points"
        )
