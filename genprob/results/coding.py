"""How arrays and attributes are laid down in a file: only types that HDF5 and netCDF readers of any language know.

Labels become integer codes with CF `flag_values` and `flag_meanings` (and, since meanings may hold blanks, the exact
`labels` as JSON); other text becomes characters; dates become integers since 1970; booleans become 0 and 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genprob.errors import UsageError

MISSING_INTEGER = int(np.iinfo(np.int64).min)
_EPOCH = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(frozen=True)
class Stored:
    """An array as it lies in a file.

    Attributes:
        data: the numbers, or byte strings (`S` of some width) that are laid down as characters.
        attrs: its attributes, flat.
        fill: the number that stands for a missing cell, or None.
    """

    data: np.ndarray
    attrs: dict[str, Any]
    fill: int | None = None


def encode(name: str, data: np.ndarray, attrs: Mapping[Any, Any]) -> Stored:
    """The stored form; `attrs["levels"]` names the labels of a category. `UsageError` names what cannot be stored."""
    kept = {key: value for key, value in attrs.items() if key != "levels"}
    flat = plain_attrs(kept, f"variable {name!r}")
    if data.dtype.kind in "OUST":
        if "levels" in attrs:
            return _codes(name, data, [str(level) for level in attrs["levels"]], flat)
        return Stored(_characters(name, data), flat | {"_Encoding": "utf-8"})
    if data.dtype.kind in "Mm":
        step = np.datetime_data(data.dtype)[0]
        if step not in _EPOCH:
            step, data = "us", data.astype(data.dtype.kind + "8[us]")
        since = " since 1970-01-01" if data.dtype.kind == "M" else ""
        flat |= {"units": _EPOCH[step] + since, "numpy_dtype": f"{data.dtype.kind}8[{step}]"}
        if since:
            flat["calendar"] = "proleptic_gregorian"
        return Stored(data.astype(np.int64), flat, MISSING_INTEGER)
    if data.dtype.kind == "b":
        return Stored(data.astype(np.int8), flat | {"dtype": "bool"})
    if data.dtype.kind in "iuf" and data.dtype.itemsize <= 8:
        # netCDF has no half floats.
        kind = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype.newbyteorder("<")
        return Stored(np.asarray(data, kind, order="C"), flat)
    raise UsageError(
        f"variable {name!r}: values of type {data.dtype} cannot be written; convert them to numbers or text"
    )


def decode(data: np.ndarray, attrs: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """The array and attributes that `encode` was given."""
    attrs = dict(attrs)
    fill = attrs.pop("_FillValue", None)
    if "labels" in attrs:
        levels = json.loads(attrs.pop("labels"))
        for name in ("flag_values", "flag_meanings"):
            attrs.pop(name, None)
        table = np.array([*levels, np.nan], dtype=object)  # the missing label that xarray makes of any other
        return table[data.reshape(-1)].reshape(data.shape), attrs | {"levels": levels}
    if data.dtype.kind == "S":
        attrs.pop("_Encoding", None)
        return np.char.decode(data, "utf-8") if data.size else data.astype(str), attrs
    if attrs.get("dtype") == "bool":
        del attrs["dtype"]
        return data.astype(bool), attrs
    kind = attrs.pop("numpy_dtype", None)
    if kind is not None:
        for name in ("units", "calendar"):
            attrs.pop(name, None)
        return data.view(kind), attrs
    if fill is not None:
        return np.where(data == fill, np.nan, data), attrs
    return data, attrs


def fitted(name: str, stored: Stored, to: np.dtype[Any]) -> Stored:
    """A later part of a variable in the type that its first part had: integers may turn up with gaps, as floats."""
    if stored.data.dtype == to or {stored.data.dtype.kind, to.kind} == {"S"}:
        return stored
    if stored.data.dtype.kind == "f" and to == np.int64:
        missing = np.isnan(stored.data)
        whole = np.where(missing, 0.0, stored.data)
        if np.array_equal(whole, np.rint(whole)):
            numbers = np.where(missing, MISSING_INTEGER, whole.astype(np.int64))
            return Stored(numbers, stored.attrs, MISSING_INTEGER if missing.any() else None)
    if stored.data.dtype.kind == "i" and to == np.float64:
        return Stored(stored.data.astype(np.float64), stored.attrs)
    raise UsageError(f"variable {name!r}: {stored.data.dtype} values cannot follow {to} ones in one file")


def plain_attrs(attrs: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The attributes as str, int, float or 1-d number arrays; anything else is a `UsageError` naming it."""
    out: dict[str, Any] = {}
    for name, value in attrs.items():
        if not isinstance(name, str) or not name or "/" in name or "\0" in name:
            raise UsageError(f"{where}: attribute name {name!r} cannot be written; use a plain word")
        if name in _RESERVED:
            raise UsageError(f"{where}: attribute {name!r} is reserved by the file format; choose another name")
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str):
            _utf8(value, f"{where}: attribute {name!r}")
        elif isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.ndarray)):
            advice = {bool: "use 0 or 1", type(None): "leave it out or use NaN"}.get(type(value), "use a JSON string")
            raise UsageError(f"{where}: attribute {name!r} is a {type(value).__name__}; {advice}")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise UsageError(f"{where}: attribute {name!r} does not fit 64 bits; use a string")
        elif isinstance(value, np.ndarray) and (value.ndim != 1 or value.dtype.kind not in "iuf" or value.size < 2):
            raise UsageError(f"{where}: attribute {name!r} is an array; use a JSON string")
        out[name] = value
    return out


_RESERVED = {
    "_Encoding", "_FillValue", "_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_nc3_strict", "calendar",
    "CLASS", "DIMENSION_LIST", "dtype", "flag_meanings", "flag_values", "genprob_digest", "genprob_layout", "labels",
    "NAME", "numpy_dtype", "REFERENCE_LIST",
}  # fmt: skip


def _codes(name: str, data: np.ndarray, levels: list[str], attrs: dict[str, Any]) -> Stored:
    import pandas as pd

    for level in levels:
        _utf8(level, f"variable {name!r}: level {level!r}")
    kind = next(k for k in (np.int8, np.int16, np.int32) if len(levels) <= np.iinfo(k).max)
    # A missing cell is None, NaN or an empty label.
    flat = pd.Series(data.reshape(-1), dtype=object)
    codes = pd.Index(levels, dtype=object).get_indexer(flat)
    strange = (codes < 0) & flat.notna().to_numpy() & (flat != "").to_numpy()
    if strange.any():
        raise UsageError(f"variable {name!r}: {flat[int(strange.argmax())]!r} is not one of its levels")
    attrs = attrs | {
        "flag_values": np.arange(len(levels), dtype=kind) if len(levels) > 1 else 0,
        "flag_meanings": " ".join(_meanings(levels)),
        "labels": json.dumps(levels, ensure_ascii=False),
    }
    return Stored(codes.astype(kind).reshape(data.shape), attrs, -1)


def _meanings(levels: list[str]) -> list[str]:
    """CF wants blank-separated words of letters, digits and `_-.+@`."""
    return [re.sub(r"[^\w\-.+@]+", "_", level) or "_" for level in levels]


def _characters(name: str, data: np.ndarray) -> np.ndarray:
    texts = ["" if text is None else text for text in data.reshape(-1).tolist()]
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"variable {name!r}: {text!r} among its texts is a {type(text).__name__}; make it text")
        _utf8(text, f"variable {name!r}: {text[:40]!r}")
    raw = [text.encode() for text in texts]
    return np.array(raw, dtype=f"S{max(map(len, raw), default=1) or 1}").reshape(data.shape)


def _utf8(text: str, where: str) -> None:
    if "\0" in text:
        raise UsageError(f"{where}: holds a NUL character, which no file can keep; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{where}: is not valid Unicode text; clean it") from None
