"""Readers: any source of data as one `xarray.Dataset` with one sample dimension."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genprob.data import arrays, delimited, frames
from genprob.data.codec import column, labels
from genprob.data.dims import columns, require_dimension, sample_dimension
from genprob.data.known import Known
from genprob.data.object_cells import nothing_known, tidy
from genprob.data.origin import FIRST_LINE, Origin, of_dataset
from genprob.data.statement import advice, refuse
from genprob.data.strangers import UNREAD, refuse_slip
from genprob.data.support import Categorical
from genprob.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = (".parquet", ".pq")
_NETCDF = (".nc", ".nc4", ".h5", ".hdf5", ".cdf")
_NPZ = (".npz",)
_ENDINGS = ", ".join((*delimited.SUFFIXES, *_PARQUET, *_NETCDF, *_NPZ))
_ROW = "row"


def read(source: Any, sample_dim: str | None = None, schema: Any = None, *, allow_missing: bool = False) -> xr.Dataset:
    """Reads data from a path, a named data set, a data frame, an xarray object or a mapping of arrays.

    Strings stay labels (object `str`), numbers, booleans and dates get their type. Missing are NaN, None, NaT, masked
    cells (`_FillValue`) and blanks; in text files also `?`, NA, N/A, n/a, NaN, nan, -NaN, -nan, NULL, null, None, <NA>,
    #N/A, #N/A N/A, #NA, 1.#IND, -1.#IND, 1.#QNAN, -1.#QNAN, unless a stated level is so spelt.
    A first column without a name is dropped (attribute `note`); blank lines are skipped; csv fields may also be
    separated by semicolons, tabs or bars. The order of levels that a source knows is kept as attribute `levels`, and
    `ordered` is 1 where the source says that it goes from low to high.

    Arguments:
        source: csv, tsv (also .gz), parquet, netCDF/HDF5, npz; `pandas.DataFrame`; `xarray.Dataset` or `DataArray`;
            `{name: array}` with rows first; or the name of a registered data set.
        sample_dim: the dimension along which rows lie. By default the first that all variables share; `row` for
            tables, where a column of that name becomes its coordinate.
        schema: a `Schema`, a schema file or `{variable: support}`. Names and values are checked against it, and a
            `Schema` also selects variables.
        allow_missing: accept that variables of the schema are absent.

    Raises `DataError` naming file, line or row, and variable; `UsageError` for a request that cannot be meant.

    >>> read({"x": [1.0, None], "g": ["a", ""]}).sizes["row"]
    2
    """
    known = Known.of(schema)
    ds = _finished(_load(source, sample_dim, known), sample_dim, known, allow_missing)
    _check(ds, known)
    ds.attrs.pop(FIRST_LINE, None)  # would be wrong as soon as the caller picks or sorts rows
    return ds


def read_chunks(
    source: Any,
    rows: int = 10_000,
    sample_dim: str | None = None,
    schema: Any = None,
    *,
    allow_missing: bool = False,
) -> Iterator[xr.Dataset]:
    """Reads data in chunks of `rows` rows, csv and parquet in bounded memory; other sources are read whole and sliced.

    The sample coordinate counts rows from the start of the source, where the source has none of its own. Types are
    decided chunk by chunk: pass the schema to have them fixed. Values are not checked against it here
    (`Table.from_dataset` does). Arguments and errors as for `read`.
    """
    if rows < 1:
        raise UsageError(f"rows={rows}: a chunk holds at least one row")
    known = Known.of(schema)
    path = _existing(source)
    if path is not None and delimited.is_delimited(path):
        for part in delimited.read_delimited_chunks(path, rows, known.levels):
            ds = _table(part.arrays, {}, sample_dim, _attributes(path, part))
            yield _numbered(_finished(ds, sample_dim, known, allow_missing, whole=False), part.start)
    elif path is not None and path.suffix.lower() in _PARQUET:
        start = 0
        for frame in frames.read_parquet_chunks(path, rows):
            ds = _frame(frame, sample_dim, str(path), known)
            yield _numbered(_finished(ds, sample_dim, known, allow_missing, whole=False), start)
            start += len(frame)
        if not start:
            raise DataError(f"{path}: holds no rows")
    else:
        ds = _finished(_load(source, sample_dim, known), sample_dim, known, allow_missing)
        dim = str(sample_dimension(ds, sample_dim))
        for start in range(0, ds.sizes[dim], rows):
            yield _numbered(ds.isel({dim: slice(start, start + rows)}), start)


def _existing(source: Any) -> Path | None:
    """The source as a path to a file, None if it is no path or names a data set. Raises `DataError` for a folder."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(source)
    if path.is_dir():
        what = "a run; genprob.load reads it" if (path / "MANIFEST.json").exists() else "a folder, not a file"
        raise DataError(f"{path}: is {what}")
    return path if path.exists() else None


def _load(source: Any, sample_dim: str | None, known: Known) -> xr.Dataset:
    import pandas as pd

    path = _existing(source)
    if path is not None:
        return _file(path, sample_dim, known)
    if isinstance(source, (str, os.PathLike)):
        return _named(str(source))
    if isinstance(source, pd.DataFrame):
        return _frame(source, sample_dim, "data", known)
    if isinstance(source, pd.Series):
        return _frame(source.to_frame(source.name if source.name is not None else "value"), sample_dim, "data", known)
    if isinstance(source, xr.DataArray):
        return source.to_dataset(name=source.name if source.name is not None else "value")
    if isinstance(source, xr.Dataset):
        return source
    if isinstance(source, Mapping):
        return arrays.from_mapping(source, "data", sample_dim or _free(source))
    raise UsageError(
        f"data of type {type(source).__name__} cannot be read; give a path, the name of a data set, "
        "a pandas.DataFrame, an xarray.Dataset, or a mapping of arrays"
    )


def _file(path: Path, sample_dim: str | None, known: Known) -> xr.Dataset:
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read (permissions)")
    if delimited.is_delimited(path):
        part = delimited.read_delimited(path, known.levels)
        return _table(part.arrays, {}, sample_dim, _attributes(path, part))
    ending = path.suffix.lower()
    if ending in _PARQUET:
        return _frame(frames.read_parquet(path), sample_dim, str(path), known)
    if ending in _NETCDF:
        ds = arrays.read_netcdf(path)
    elif ending in _NPZ:
        content = arrays.read_npz(path)
        ds = arrays.from_mapping(content, str(path), sample_dim or _free(content))
    else:
        raise DataError(f"{path}: files ending in {ending or 'nothing'} are not read; convert to one of {_ENDINGS}")
    return ds.assign_attrs(source=str(path))


def _named(name: str) -> xr.Dataset:
    from genprob import plugins

    if Path(name).suffix or os.sep in name:
        raise DataError(f"{name}: no such file")
    try:
        spec = plugins.find("dataset", name)
    except UsageError as error:
        raise DataError(f"{name}: no such file; {error}") from None
    return plugins.resolve(spec.factory)().assign_attrs(source=name)


def _frame(frame: pd.DataFrame, sample_dim: str | None, source: str, known: Known) -> xr.Dataset:
    import pandas as pd

    raw, levels, ordered = frames.columns(frame, Origin(source))
    default = isinstance(frame.index, pd.RangeIndex) and frame.index.start == 0 and frame.index.step == 1
    coord = None if default or isinstance(frame.index, pd.MultiIndex) else frame.index.to_numpy()
    origin = Origin(source) if coord is None else Origin(source, lambda i: f"row {coord[i]}")
    tidied = {name: tidy(array, name, origin, known.labelled(name)) for name, array in raw.items()}
    about = {name: {"levels": names} | ({"ordered": 1} if name in ordered else {}) for name, names in levels.items()}
    return _table(tidied, about, sample_dim, {} if source == "data" else {"source": source}, coord)


def _attributes(path: Path, part: delimited.Columns) -> dict[str, Any]:
    attributes: dict[str, Any] = {"source": str(path)}
    if part.notes:
        attributes["note"] = "; ".join(part.notes)
    return attributes if part.first_line is None else {**attributes, FIRST_LINE: part.first_line}


def _table(
    columns: dict[str, np.ndarray],
    about: Mapping[str, Mapping[str, Any]],
    sample_dim: str | None,
    attributes: Mapping[str, Any],
    coord: np.ndarray | None = None,
) -> xr.Dataset:
    """Columns, rows first, as a data set; a column named like the wanted sample dimension is its coordinate."""
    dim = sample_dim or _free(columns)
    if dim in columns:
        coord = columns[dim]
    variables = {
        name: xr.Variable(
            (dim, *(f"{name}_dim_{k}" for k in range(array.ndim - 1))),
            array,
            about.get(name),
        )
        for name, array in columns.items()
        if name != dim
    }
    return xr.Dataset(variables, coords=None if coord is None else {dim: (dim, coord)}, attrs=dict(attributes))


def _free(names: Collection[Any]) -> str:
    """A name for the sample dimension that no variable has."""
    return next(word for word in (_ROW, "sample", *(f"row_{k}" for k in range(len(names) + 1))) if word not in names)


def _finished(
    ds: xr.Dataset, sample_dim: str | None, known: Known, allow_missing: bool, whole: bool = True
) -> xr.Dataset:
    """One sample dimension, tidy columns, labels where the schema says so; infinities and empty columns refused."""
    source = str(ds.attrs.get("source", "data"))
    ds = arrays.decoded(_selected(ds, known, allow_missing, source))
    dim = require_dimension(ds, sample_dim) if sample_dim else str(sample_dimension(ds, known.sample_dim))
    if not ds.sizes[dim]:
        raise DataError(f"{source}: holds no rows (dimension {dim!r} has size 0)")
    origin = of_dataset(ds, dim)
    renamed = ds.rename({name: str(name) for name in ds.variables if not isinstance(name, str)})
    out: dict[str, xr.Variable] = {}
    faults: dict[str, DataError] = {}
    for key, data in columns(renamed).items():
        name = str(key)
        moved = data.transpose(dim, ...)
        try:
            array = tidy(moved.values, name, origin, known.labelled(name))
        except DataError as fault:
            faults[name] = fault
            continue
        if known.labelled(name) and not known.ignored(name) and array.dtype != object:
            array = labels(array)
        if array.dtype.kind == "f" and not known.ignored(name):
            infinite = np.isinf(array)
            if infinite.any():
                raise DataError(
                    f"{source}: variable {name!r} is infinite: {origin.cells(infinite, array)}; "
                    "correct these cells or leave them blank"
                )
        if whole and known.schema is None and not known.ignored(name) and nothing_known(array):
            faults[name] = DataError(
                f"{source}: variable {name!r} has no known cell; drop it, or ignore it ({advice(name, 'ignore')})"
            )
        extra = tuple(f"{name}_dim_{k}" for k in range(array.ndim - moved.ndim))  # arrays found inside object cells
        attrs = {**data.attrs, "units": "s"} if moved.dtype.kind == "m" else data.attrs
        out[name] = xr.Variable((*moved.dims, *extra), array, attrs)
    refuse(faults)
    return xr.Dataset(out, coords=renamed.coords, attrs=ds.attrs)


def _selected(ds: xr.Dataset, known: Known, allow_missing: bool, source: str) -> xr.Dataset:
    """The variables of a schema; all of them where only statements are known. Names that are absent are an error."""
    has = ", ".join(repr(str(name)) for name in ds.data_vars)
    absent = [name for name in known.names if name not in ds.variables]
    if absent and not allow_missing:
        raise DataError(
            f"{source}: no variable {', '.join(map(repr, absent))}, of which the schema speaks; it has {has}"
        )
    if known.schema is None:
        return ds
    chosen = [name for name in known.schema.names if name in ds.data_vars]
    if not chosen:
        raise DataError(f"{source}: none of the schema's variables ({', '.join(known.names)}) is among {has}")
    strange = [str(name) for name in ds.data_vars if str(name) not in known.schema]
    for name in absent:
        refuse_slip(name, strange, source)
    return ds[chosen].assign_attrs({UNREAD: strange} if allow_missing and strange else {})


def _check(ds: xr.Dataset, known: Known) -> None:
    """Every stated support holds the values of its variable."""
    origin = of_dataset(ds, sample_dimension(ds, known.sample_dim))
    for name, data in columns(ds).items():
        variable = known.variable(str(name))
        if variable is not None and not (isinstance(variable.support, Categorical) and not variable.support.levels):
            column(variable, data.values, origin)


def _numbered(ds: xr.Dataset, start: int) -> xr.Dataset:
    dim = str(sample_dimension(ds))
    return ds if dim in ds.coords else ds.assign_coords({dim: np.arange(start, start + ds.sizes[dim])})
