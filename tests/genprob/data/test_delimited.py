import gzip
from pathlib import Path

import numpy as np
import pytest

from genprob.data.delimited import read_delimited, read_delimited_chunks
from genprob.errors import DataError


def unknown(name: str) -> None:
    """No variable is known to be categorical."""


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("x,g\n1,a\n2,b\n", {"x": [1, 2], "g": ["a", "b"]}),
        ("x,g\r\n1,a\r\n2,b", {"x": [1, 2], "g": ["a", "b"]}),
        ("\ufeffx,g\n1,a\n", {"x": [1], "g": ["a"]}),
        (" x , g \n 1 , a \n", {"x": [1], "g": ["a"]}),
        ("x;g\n1;a,b\n", {"x": [1], "g": ["a,b"]}),
        ("x\tg\n1\ta\n", {"x": [1], "g": ["a"]}),
        ("x|g\n1|a\n", {"x": [1], "g": ["a"]}),
        ('x,"g, h"\n1,"a ""b"", c"\n', {"x": [1], "g, h": ['a "b", c']}),
        ('x,g\n1,"a\nb"\n2,c\n', {"x": [1, 2], "g": ["a\nb", "c"]}),
        ('x,g\n1,5" pipe\n2,b\n', {"x": [1, 2], "g": ['5" pipe', "b"]}),
        ("\n\nx,g\n\n1,a\n\n2,b\n\n", {"x": [1, 2], "g": ["a", "b"]}),
        (",x\n0,5\n1,6\n", {"x": [5, 6]}),
        ("x,y,\n1,2,\n3,4,\n", {"x": [1, 3], "y": [2, 4]}),
        ("x\n1\n2\n", {"x": [1, 2]}),
        ("0,1\n5.5,6\n", {"0": [5.5], "1": [6]}),
    ],
)
def test_dialects(tmp_path: Path, content: str, columns: dict[str, list]):
    path = write(tmp_path, content)
    found = read_delimited(path, unknown).arrays
    assert {name: array.tolist() for name, array in found.items()} == columns
    (chunk,) = read_delimited_chunks(path, 100, unknown)
    assert {name: array.tolist() for name, array in chunk.arrays.items()} == columns


def test_a_dropped_row_index_is_noted(tmp_path: Path):
    assert "dropped as a row index" in read_delimited(write(tmp_path, ",x\n0,5\n"), unknown).notes[0]


def test_gzip_and_tsv(tmp_path: Path):
    path = write(tmp_path, gzip.compress(b"x\tg,h\n1\ta,b\n"), "t.tsv.gz")
    assert {name: array.tolist() for name, array in read_delimited(path, unknown).arrays.items()} == {
        "x": [1],
        "g,h": ["a,b"],
    }


BAD = {
    "nothing": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "header only": ("x,y\n", "no rows"),
    "header only, no line end": ("x,y", "no rows"),
    "header and blank lines": ("x,y\n\n\n", "no rows"),
    "too few fields": ("x,y\n1,2\n3\n4,5\n", "line 3 has 1 fields, the header has 2"),
    "too many fields": ("x,y\n1,2\n\n3,4,5\n4,5,6\n", "line 4 has 3 fields, the header has 2 (and 1 more"),
    "ragged after a quoted line break": ('x,g\n1,"a\nb"\n2\n', "line 4 has 1 fields"),
    "row names without a header": ("x,y\na,1,2\nb,1,2\n", "name the first column too"),
    "latin-1": ("x,g\n1,a\n2,café\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8 (as Latin-1: '2,café')"),
    "latin-1 header": ("x,café\n1,a\n".encode("latin-1"), "line 1: byte 0xe9 is not UTF-8"),
    "utf-16": ("x,y\n1,2\n".encode("utf-16"), "UTF-16"),
    "binary": (b"x,y\n\x00\x01,2\n", "binary"),
    "a name twice": ("x,y,x\n1,2,3\n", "line 1: columns [1, 3] have the same name 'x'"),
    "no name": ("x,,y\n1,2,3\n", "column 2 has no name"),
    "no name, yet cells": ("x,\n1,2\n", "column 2 holds cells"),
    "no names": (",\n1,2\n", "no column has a name"),
    "no header": ("5.1,3.5\n4.9,3.0\n", "line 1 holds numbers where names are expected"),
    "open quote": ('x,g\n1,"a\n2,b\n', "line 2: a quote opened here is never closed"),
    "stray quotes": ('x,g\n1,"a\n2,"b\n', "line 2"),
    "a word among numbers": ("x,y\n1,2\n\n3,abc\n4,5\n", "variable 'y' holds numbers, except line 4: 'abc'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_faults_are_told_in_one_line_with_their_place(tmp_path: Path, fault: str):
    content, words = BAD[fault]
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_delimited(path, unknown)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert words in str(caught.value)
    if fault != "stray quotes":  # seen only by a second look at the whole file
        with pytest.raises(DataError):
            list(read_delimited_chunks(path, 100, unknown))


@pytest.mark.parametrize("content", [b"abc", gzip.compress(b"x,y\n" + b"1,2\n" * 5000)[:60], b""])
def test_damaged_gzip(tmp_path: Path, content: bytes):
    path = write(tmp_path, content, "t.csv.gz")
    with pytest.raises(DataError, match=r"t\.csv\.gz"):
        read_delimited(path, unknown)
    with pytest.raises(DataError, match=r"t\.csv\.gz"):
        list(read_delimited_chunks(path, 2, unknown))


@pytest.mark.parametrize("rows", [1, 7, 100, 1000, 5000])
def test_chunks_are_the_whole_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int):
    monkeypatch.setattr("genprob.data.delimited._BLOCK", 1 << 12)
    rng = np.random.default_rng(0)
    lines = [f"{x!r},{g}" for x, g in zip(rng.normal(size=1000).tolist(), rng.choice(list("abc"), 1000), strict=True)]
    path = write(tmp_path, "x,g\n" + "\n".join(lines) + "\n")
    whole = read_delimited(path, unknown)
    parts = list(read_delimited_chunks(path, rows, unknown))
    assert [len(part.arrays["x"]) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert [part.start for part in parts] == list(range(0, 1000, rows))
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(np.concatenate([part.arrays[name] for part in parts]), array)


def test_a_slip_in_a_later_chunk_is_told_by_its_line(tmp_path: Path):
    path = write(tmp_path, "x\n" + "1.5\n" * 30 + "abc\n" + "2.5\n" * 5)
    with pytest.raises(DataError, match="line 32: 'abc'"):
        list(read_delimited_chunks(path, 10, unknown))


def test_rows_are_lines_where_no_cell_spans_two(tmp_path: Path):
    assert read_delimited(write(tmp_path, "x\n1\n2\n"), unknown).first_line == 2
    assert read_delimited(write(tmp_path, "x\n1\n\n2\n"), unknown).first_line is None
