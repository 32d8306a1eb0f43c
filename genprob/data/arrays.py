"""Labelled and bare arrays: netCDF and HDF5 files, npz files, mappings, as one `xarray.Dataset`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genprob.data.dims import columns
from genprob.errors import DataError


def read_netcdf(path: Path) -> xr.Dataset:
    """The variables at the root of a netCDF or HDF5 file, masks and scales decoded, in memory.

    Raises `DataError` if it is damaged or holds nothing but groups.
    """
    with path.open("rb") as stream:
        classic = stream.read(3) == b"CDF"
    options: dict[str, Any] = {"engine": "scipy"} if classic else {"engine": "h5netcdf", "phony_dims": "sort"}
    try:
        with xr.open_dataset(path, decode_timedelta=False, **options) as opened:
            ds = opened.load()
    except Exception as error:  # the libraries below raise anything from KeyError to RuntimeError on damaged files
        raise DataError(f"{path}: cannot be read as netCDF/HDF5: {_first(error)}") from None
    if not ds.data_vars:
        groups = [] if classic else _groups(path)
        if groups:
            raise DataError(
                f"{path}: holds groups ({', '.join(groups)}) but no variable at its root; "
                "genprob.open reads results, and a group can be given as an xarray.Dataset"
            )
        raise DataError(f"{path}: holds no variable")
    return ds


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file; nothing is unpickled. Raises `DataError` if it is damaged or holds objects."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {}
            for name in file.files:
                try:
                    arrays[name] = file[name]
                except ValueError as error:
                    if "pickle" in str(error):
                        raise DataError(
                            f"{path}: array {name!r} holds Python objects, which are not loaded from files; save it "
                            "as numbers or as fixed-width strings (astype(str))"
                        ) from None
                    raise
            return arrays
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as npz: {_first(error)}") from None


def from_mapping(arrays: Mapping[Any, Any], source: str, dim: str) -> xr.Dataset:
    """Arrays by name, rows first, as a data set with dims `(dim, name_dim_0, ...)`.

    Values that carry dims (`xarray.DataArray`, `(dims, array)`) keep them. Raises `DataError` naming two arrays
    without the same number of rows.
    """
    if not arrays:
        raise DataError(f"{source}: holds no array")
    if any(isinstance(value, xr.DataArray) or _has_dims(value) for value in arrays.values()):
        try:
            return xr.Dataset({str(name): value for name, value in arrays.items()})
        except ValueError as error:
            raise DataError(f"{source}: {_first(error)}") from None
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    first: tuple[str, tuple[int, ...]] | None = None
    for key, value in arrays.items():
        name, array = str(key), _as_array(value)
        if not array.ndim:
            raise DataError(f"{source}: array {name!r} is a single value; its first axis must be the rows")
        if first is None:
            first = (name, array.shape)
        if len(array) != first[1][0]:
            raise DataError(
                f"{source}: arrays {first[0]!r} {first[1]} and {name!r} {array.shape} share no sample dimension: "
                f"{first[1][0]} against {len(array)} rows"
            )
        variables[name] = ((dim, *(f"{name}_dim_{k}" for k in range(array.ndim - 1))), array)
    return xr.Dataset(variables)


def decoded(ds: xr.Dataset) -> xr.Dataset:
    """Masks (`_FillValue`) applied and CF flags turned to labels, with their order kept as attribute `levels`.

    Meanings cannot hold blanks; an attribute `labels` with a JSON list, as genprob writes, has the exact labels.
    """
    if any("_FillValue" in v.attrs or "missing_value" in v.attrs for v in ds.variables.values()):
        ds = xr.decode_cf(ds, decode_timedelta=False, decode_times=False)
    flagged: dict[Hashable, xr.Variable] = {}
    for name, v in columns(ds).items():
        if "flag_values" in v.attrs and "flag_meanings" in v.attrs and v.dtype.kind in "iuf":
            levels = _flag_labels(v.attrs)
            flags = np.atleast_1d(v.attrs["flag_values"])
            if len(flags) == len(levels):
                names = np.full(v.shape, None, dtype=object)
                for flag, level in zip(flags, levels, strict=True):
                    names[v.values == flag] = level
                attrs = {k: a for k, a in v.attrs.items() if k not in ("flag_values", "flag_meanings", "labels")}
                flagged[name] = xr.Variable(v.dims, names, {**attrs, "levels": levels})
    return ds.assign(flagged)


def _flag_labels(attrs: Mapping[Any, Any]) -> list[str]:
    try:
        return [str(level) for level in json.loads(attrs["labels"])]
    except (KeyError, TypeError, ValueError):
        return str(attrs["flag_meanings"]).split()


def _has_dims(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) >= 2
        and (isinstance(value[0], str) or (isinstance(value[0], (tuple, list)) and all(map(_is_str, value[0]))))
        and not _is_str(value[1])
    )


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        return value
    try:
        return np.asarray(value)
    except ValueError:  # ragged lists
        return np.array(value, dtype=object)


def _groups(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        return [str(name) for name in file if isinstance(file[name], h5py.Group)]


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
