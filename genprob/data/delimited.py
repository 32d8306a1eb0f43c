"""Delimited text files (csv, tsv; plain or gzipped): whole or in chunks, every fault told by its line."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from genprob.data.origin import Origin
from genprob.data.text_cells import typed
from genprob.errors import DataError

Levels = Callable[[str], Collection[str] | None]  # of a variable, as `text_cells.typed` takes them
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_BLOCK = 16 << 20  # bytes parsed at a time
_NO_ROWS = "holds a header but no rows"
_LONGEST = 1 << 30  # bytes of one field: the csv module's default of 128 kB is too small for a diagnosis


@dataclass(frozen=True)
class Header:
    """What the head of a file says: how fields are separated, their names, and the lines that names take up.

    `names` has None where a column is to be dropped: a first one without a name (a row index), or empty last ones.
    """

    delimiter: str
    names: tuple[str | None, ...]
    lines: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Some rows of a file: typed columns, the position of the first row, and notes."""

    arrays: dict[str, np.ndarray]
    start: int
    notes: tuple[str, ...]
    first_line: int | None


def is_delimited(path: Path) -> bool:
    """True for the endings that are read as delimited text."""
    return path.name.lower().endswith(SUFFIXES)


def read_delimited(path: Path, levels: Levels) -> Columns:
    """All rows, typed. `levels` gives those of the variables known to be categorical (see `text_cells.typed`).

    Raises `DataError` naming file and line: empty, header only, ragged, not UTF-8, a name twice or missing, an
    unclosed quote.
    """
    header = _header(path)
    lines, quotes = _census(path)
    if lines == header.lines:
        raise DataError(f"{path}: {_NO_ROWS}")
    try:
        with _opened(path) as stream:
            table = pyarrow.csv.read_csv(stream, *_options(path, header))
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError) as error:
        raise _diagnosis(path, header, error) from None
    if not table.num_rows:
        raise DataError(f"{path}: {_NO_ROWS}")
    consecutive = lines == header.lines + table.num_rows
    if quotes % 2 or (quotes and not consecutive):
        _check_quotes(path, header)
    arrays = _typed(table, header, _origin(path, header, 0), levels)
    return Columns(arrays, 0, header.notes, header.lines + 1 if consecutive else None)


def read_delimited_chunks(path: Path, rows: int, levels: Levels) -> Iterator[Columns]:
    """The same in chunks of `rows` rows, in memory bounded by a chunk and a block of 16 MB."""
    header = _header(path)
    lines, quotes = _census(path)
    if lines == header.lines:
        raise DataError(f"{path}: {_NO_ROWS}")
    if quotes % 2:
        _check_quotes(path, header)
    start, held, count = 0, [], 0
    try:
        with _opened(path) as stream, pyarrow.csv.open_csv(stream, *_options(path, header)) as reader:
            for batch in reader:
                held.append(batch)
                count += batch.num_rows
                while count >= rows:
                    table = pa.Table.from_batches(held)
                    yield _columns(path, table.slice(0, rows), header, start, levels)
                    rest = table.slice(rows)
                    held, count, start = rest.to_batches(), rest.num_rows, start + rows
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError) as error:
        raise _diagnosis(path, header, error) from None
    if count:
        yield _columns(path, pa.Table.from_batches(held), header, start, levels)
    elif not start:
        raise DataError(f"{path}: {_NO_ROWS}")


def _columns(path: Path, table: pa.Table, header: Header, start: int, levels: Levels) -> Columns:
    return Columns(_typed(table, header, _origin(path, header, start), levels), start, header.notes, None)


def _typed(table: pa.Table, header: Header, origin: Origin, levels: Levels) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for j, name in enumerate(header.names):
        if name is not None:
            arrays[name] = typed(table.column(j), name, origin, levels(name))
        elif j and any(map(str.strip, table.column(j).to_pylist())):
            raise DataError(f"{origin.source}: column {j + 1} holds cells but line 1 gives it no name; add one")
    return arrays


def _origin(path: Path, header: Header, start: int) -> Origin:
    """Rows named by their line, found by reading up to it again: messages are rare and lines may be blank."""

    def row(position: int) -> str:
        with _text(path) as stream:
            reader = csv.reader(stream, delimiter=header.delimiter)
            found = -1
            for record in reader:
                found += bool(record)
                if found == start + position + 1:
                    return f"line {reader.line_num}"
        return f"row {start + position}"

    return Origin(str(path), row)


def _opened(path: Path) -> pa.NativeFile:
    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


def _bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(_bytes(path), "utf-8-sig", "replace", newline="")


def _options(path: Path, header: Header) -> tuple:
    columns = [f"c{j}" for j in range(len(header.names))]
    return (
        pyarrow.csv.ReadOptions(column_names=columns, skip_rows=header.lines, block_size=_BLOCK),
        pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
    )


def _header(path: Path) -> Header:
    _check_text(path)
    with _text(path) as stream:
        lead = 0
        first = ""
        for first in stream:
            if first.strip():
                break
            lead += 1
    if not first.strip():
        raise DataError(f"{path}: is empty")
    delimiter = "\t" if ".tsv" in path.name.lower() else _delimiter(first)
    csv.field_size_limit(_LONGEST)
    with _text(path) as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        try:
            fields = next(record for record in reader if len(record) > 1 or "".join(record).strip())
        except csv.Error as error:
            raise DataError(f"{path}: line {lead + 1}: {error}") from None
        lines = reader.line_num
    if any("\ufffd" in field for field in fields):  # what undecodable bytes are read as
        _check_encoding(path)
    return _named(path, delimiter, [field.strip() for field in fields], lines)


def _named(path: Path, delimiter: str, fields: list[str], lines: int) -> Header:
    twice = [name for name, count in Counter(fields).items() if name and count > 1]
    if twice:
        columns = [j + 1 for j, field in enumerate(fields) if field == twice[0]]
        raise DataError(f"{path}: line {lines}: columns {columns} have the same name {twice[0]!r}; rename all but one")
    if any("." in field and _is_number(field) for field in fields):
        raise DataError(
            f"{path}: line {lines} holds numbers where names are expected ({', '.join(fields[:4])}...); "
            "add a first line that names the columns"
        )
    named = [j for j, field in enumerate(fields) if field]
    if not named:
        raise DataError(f"{path}: line {lines}: no column has a name; add a first line that names the columns")
    notes = []
    if not fields[0]:
        notes.append("the first column has no name and was dropped as a row index")
    gap = next((j for j in range(1, named[-1]) if not fields[j]), None)
    if gap is not None:
        raise DataError(f"{path}: line {lines}: column {gap + 1} has no name; add one, or remove the column")
    return Header(delimiter, tuple(field or None for field in fields), lines, tuple(notes))


def _check_text(path: Path) -> None:
    try:
        with _bytes(path) as stream:
            head = stream.read(4096)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not head.strip():
        raise DataError(f"{path}: is empty")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: line 1: is encoded as UTF-16; save it as UTF-8 (iconv -f utf-16 -t utf-8)")
    if b"\x00" in head:
        raise DataError(f"{path}: is a binary file, not delimited text")


def _delimiter(line: str) -> str:
    """The comma unless the header has none but has semicolons, tabs or bars."""
    return "," if "," in line else max(";\t|", key=line.count) if any(c in line for c in ";\t|") else ","


def _census(path: Path) -> tuple[int, int]:
    """Lines and double quotes of a file."""
    lines, quotes, last = 0, 0, b"\n"
    try:
        with _bytes(path) as stream:
            while block := stream.read(_BLOCK):
                lines += block.count(b"\n")
                quotes += block.count(b'"')
                last = block[-1:]
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read to its end: {error}") from None
    return lines + (last != b"\n"), quotes


def _check_encoding(path: Path) -> None:
    with _bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as fault:
                shown = line.decode("latin-1").strip()[:60]
                raise DataError(
                    f"{path}: line {number}: byte 0x{line[fault.start]:02x} is not UTF-8 (as Latin-1: {shown!r}); "
                    "convert the file, e.g. iconv -f latin-1 -t utf-8"
                ) from None


def _check_quotes(path: Path, header: Header) -> None:
    """Refuses a quote that swallows lines up to the next quote or the end, which the fast parser lets pass."""
    line = 1
    with _text(path) as stream:
        reader = csv.reader(stream, delimiter=header.delimiter, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as fault:
            word = "a quote opened here is never closed" if "unexpected end" in str(fault) else str(fault)
            raise DataError(f"{path}: line {line}: {word}; quote whole fields, double a quote inside") from None


def _diagnosis(path: Path, header: Header, error: Exception) -> DataError:
    """Finds what the fast parser tripped over, by reading the file again slowly."""
    _check_encoding(path)
    _check_quotes(path, header)
    width, start, rows, ragged = len(header.names), 1, 0, []
    with _text(path) as stream:
        reader = csv.reader(stream, delimiter=header.delimiter)
        for record in reader:
            if record:
                rows += 1
                if len(record) != width:
                    ragged.append((start, len(record)))
            start = reader.line_num + 1
    if not ragged:
        return DataError(f"{path}: cannot be read as delimited text: {str(error).splitlines()[0]}")
    line, fields = ragged[0]
    more = f" (and {len(ragged) - 1} more such lines)" if len(ragged) > 1 else ""
    hint = "quote fields that hold the separator" if fields > width else "leave fields blank where nothing is known"
    if len(ragged) == rows - 1 and {fields for _, fields in ragged} == {width + 1}:
        hint = (
            "every row has one more field than the header names: name the first column too, e.g. with a leading comma"
        )
    return DataError(f"{path}: line {line} has {fields} fields, the header has {width}{more}; {hint}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
