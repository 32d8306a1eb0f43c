"""Columns of text cells, from delimited files, as typed arrays: integers, reals, booleans, dates, else labels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from genprob.data.origin import Origin
from genprob.data.statement import advice
from genprob.errors import DataError

pc: Any = pyarrow.compute  # its functions are made at run time, unseen by type checkers
NA = (
    "", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?Z?)?$"
_COMMA = r"^[+-]?[0-9]+(,[0-9]+)+([.][0-9]+)?$"  # decimal commas, thousands separators
_FEW = 10  # misfits among numbers (or dates) that are taken for slips of the pen rather than for labels


def typed(text: pa.ChunkedArray, name: str, origin: Origin, levels: Collection[str] | None = None) -> np.ndarray:
    """A column of text as int64, float64, bool, datetime64[us], or labels (object `str`, None where missing).

    Arguments:
        text: the cells, blanks and NA spellings included.
        name: the variable.
        origin: where it came from.
        levels: for a column that is known to hold categories: its levels, or empty where they are not known;
            a level spelt like an NA word is a level.

    Raises `DataError` naming the cells, if all but a few are numbers (or dates).
    """
    cells = pc.utf8_trim_whitespace(text)
    words = [word for word in NA if word not in (levels or ())]
    cells = pc.if_else(pc.is_in(cells, value_set=pa.array(words)), pa.scalar(None, pa.string()), cells)
    known = len(cells) - cells.null_count
    if not known:
        return np.full(len(cells), np.nan)
    if levels:
        return _objects(cells)
    numbers = _cast(cells, pa.int64())
    if numbers is None:
        numbers = _cast(cells, pa.float64())
    if numbers is not None:
        return _filled(numbers)
    distinct = pc.unique(cells).drop_null()
    if set(pc.utf8_lower(distinct).to_pylist()) <= {"true", "false"}:
        return _filled(pc.equal(pc.utf8_lower(cells), "true").cast(pa.int8()), truth=not cells.null_count)
    for form, word in ((_NUMBER, "numbers"), (DATE, "dates")):
        fits = pc.match_substring_regex(cells, form)
        count = pc.sum(fits).as_py() or 0
        if count == known and (levels is None or word == "numbers"):
            return _numbers(cells) if word == "numbers" else _dates(cells, name, origin)
        values = pc.sum(pc.match_substring_regex(distinct, form)).as_py() or 0
        if levels is None and misfits(known, count, values):
            where = pc.invert(fits).fill_null(False).to_numpy()
            raise DataError(misfit_message(name, where, _objects(cells), origin, word))
    if levels is None:
        _refuse_commas(cells, distinct, name, origin)
    return _objects(cells)


def misfits(known: int, fitting: int, distinct: int) -> bool:
    """True when a column of `known` cells, `fitting` of them numbers of `distinct` values, is numbers with slips.

    Few-valued codes with a stray label (`9`, `10`, `11`, `other`) are labels.
    """
    bad = known - fitting
    coded = distinct <= 10 and known >= 20 * distinct
    few = fitting >= 2 * bad and (bad <= max(1, min(_FEW, known // 20)))
    return fitting > 0 and not coded and (few or (fitting >= 0.9 * known and distinct > 50))


def misfit_message(name: str, where: np.ndarray, values: np.ndarray, origin: Origin, word: str) -> str:
    """What to say of a column of numbers (or dates) with a few cells that are something else."""
    return (
        f"{origin.source}: variable {name!r} holds {word}, except {origin.cells(where, values)}; correct these cells, "
        f"leave them blank if unknown, or say that it is categorical ({advice(name, 'categorical')})"
    )


def _refuse_commas(cells: pa.ChunkedArray, distinct: pa.Array, name: str, origin: Origin) -> None:
    commas = pc.match_substring_regex(distinct, _COMMA)
    if pc.any(commas).as_py() and pc.all(pc.or_(commas, pc.match_substring_regex(distinct, _NUMBER))).as_py():
        where = pc.match_substring_regex(cells, _COMMA).fill_null(False).to_numpy()
        raise DataError(
            f"{origin.source}: variable {name!r} holds numbers with commas: {origin.cells(where, _objects(cells))}; "
            "write decimal points and no thousands separators, or say that it is categorical "
            f"({advice(name, 'categorical')})"
        )


def _cast(cells: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return cells.cast(kind)
    except pa.ArrowInvalid:
        return None


def _filled(numbers: pa.ChunkedArray, truth: bool = False) -> np.ndarray:
    """As numpy: the column's own type where no cell is missing, else float64 with NaN."""
    if truth:
        return numbers.to_numpy().astype(bool)
    if numbers.null_count:
        numbers = numbers.cast(pa.float64(), safe=False)
    return numbers.to_numpy()


def _numbers(cells: pa.ChunkedArray) -> np.ndarray:
    """Numbers in spellings that arrow refuses, such as `+1.5`."""
    return np.array([np.nan if cell is None else float(cell) for cell in cells.to_pylist()])


def _dates(cells: pa.ChunkedArray, name: str, origin: Origin) -> np.ndarray:
    bare = pc.replace_substring(cells, "Z", "")
    dates = _cast(bare, pa.timestamp("us"))
    if dates is None:
        import pandas as pd

        parsed = pd.to_datetime(pd.Series(bare.to_pylist(), dtype=object), errors="coerce", format="ISO8601")
        where = parsed.isna().to_numpy() & pc.is_valid(cells).to_numpy()
        if where.any():
            raise DataError(misfit_message(name, where, _objects(cells), origin, "dates"))
        return parsed.to_numpy().astype("datetime64[us]")
    return dates.to_numpy().astype("datetime64[us]")


def _objects(cells: pa.ChunkedArray) -> np.ndarray:
    # Through a dictionary: each distinct label becomes one Python string, not one a cell.
    encoded = pc.dictionary_encode(cells).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    return np.array([*encoded.dictionary.to_pylist(), None], dtype=object)[codes]
