"""Results on disk: written whole or not at all, opened only if nothing in them was altered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob import atomic
from genprob.errors import CorruptFileError, DataError, GenprobError, ResourceError
from genprob.results import coding
from genprob.results.archive import Archive
from genprob.results.digest import Digest, dtype_name
from genprob.results.inspection import check_signature, inspect
from genprob.results.stored import StoredArray, read

if TYPE_CHECKING:
    import xarray as xr

EAGER = 1 << 28
"""Files that declare fewer bytes are read at once; larger ones as their parts are asked for."""
_SLAB = 1 << 22


def write(data: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Writes a tree or a data set to one netCDF-4 file, with its digest; an old file at `path` is replaced at the end.

    Raises `UsageError` for values or attributes that no file can hold (attributes are str, int, float), and
    `ResourceError` when the disk is full.
    """
    import xarray as xr

    path = Path(path)
    if isinstance(data, xr.Dataset):
        layout, groups = "dataset", {"/": _without_slashes(data)}
    else:
        layout = "tree"
        groups = {node.path: node.to_dataset(inherit=False) for node in data.subtree}
    attrs = groups["/"].attrs
    size = sum(dataset.nbytes for dataset in groups.values())
    with atomic.replacing(path, size) as temporary:
        archive = Archive(temporary, path, layout)
        try:
            archive.append(groups)
            archive.finish(attrs)
        except BaseException:
            archive.abandon()
            raise
    return path


def open(path: str | Path, lazy: bool | None = None) -> xr.DataTree | xr.Dataset:
    """The tree or data set that was written to `path`, decoded; no file stays open.

    Arguments:
        path: a file of ours.
        lazy: read values when they are asked for; by default where the file declares more than 256 MiB.

    Raises `DataError` where there is no such file, `CorruptFileError` naming what is wrong with it: not one of ours,
    truncated, altered (one bit suffices), or made to point outside itself.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; genprob.load reads runs")
    try:
        check_signature(path)
        return _open(path, lazy)
    except GenprobError:
        raise
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied)") from None
    except MemoryError:
        raise ResourceError(f"{path}: does not fit into memory; open it with lazy=True") from None
    except Exception as error:
        # Whatever a damaged file makes the HDF5 library say.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CorruptFileError(f"{path}: truncated or damaged ({reason})") from None


def _without_slashes(dataset: xr.Dataset) -> xr.Dataset:
    """In a file a slash parts groups: `km/h` becomes `km_h`, its name is kept as `long_name`."""
    names = [str(name) for name in dataset.variables if "/" in str(name)]
    dataset = dataset.rename({name: name.replace("/", "_") for name in names})
    for name in names:
        dataset[name.replace("/", "_")].attrs.setdefault("long_name", name)
    return dataset


def _open(path: Path, lazy: bool | None) -> xr.DataTree | xr.Dataset:
    import h5netcdf
    import h5py
    import xarray as xr

    with h5py.File(path, "r") as hdf:
        if "genprob_digest" not in hdf.attrs or "genprob_layout" not in hdf.attrs:
            raise CorruptFileError(f"{path}: is not a genprob file; read it with genprob.read")
        declared = inspect(path, hdf)
        if lazy is None:
            lazy = declared > EAGER
        with h5netcdf.File(hdf, "r") as file:
            groups, layout = _groups(path, hdf, file, lazy)
    if layout == "dataset":
        return groups["/"]
    return xr.DataTree.from_dict(groups)


def _groups(path: Path, hdf: Any, file: Any, lazy: bool) -> tuple[dict[str, xr.Dataset], str]:
    """Every group as a data set, once the digest agrees."""
    import xarray as xr

    digest = Digest()
    found: dict[str, xr.Dataset] = {}
    layout, expected = file.attrs["genprob_layout"], file.attrs["genprob_digest"]
    stamp = _stamp(path)
    for place, group in _walk(file):
        attrs = _python(group.attrs)
        digest.group(place, attrs)
        variables: dict[str, xr.Variable] = {}
        for name, item in group.variables.items():
            # Of h5netcdf the names of dimensions and the attributes; sizes and values come from HDF5 at once.
            values_of = hdf[item.name]
            dims, shape, dtype = _head(name, tuple(item.dimensions), values_of)
            raw_attrs = _python(item.attrs)
            digest.variable(place, name, dims, shape, dtype_name(dtype), raw_attrs)
            data = _digested(digest, place, name, values_of, shape, dtype, not lazy or dims == (name,))
            if data is None:
                stored = StoredArray(path, item.name, stamp, shape, raw_attrs, dtype)
                variables[name] = xr.Variable(dims, stored.lazy(), stored.attrs, fastpath=True)
            else:
                values, decoded = coding.decode(data, raw_attrs)
                variables[name] = xr.Variable(dims, values, decoded)
        coords = {n: v for n, v in variables.items() if v.dims == (n,)}
        attrs = {k: v for k, v in attrs.items() if k not in ("genprob_digest", "genprob_layout")}
        found[place] = xr.Dataset({n: v for n, v in variables.items() if n not in coords}, coords, attrs)
    if digest.hexdigest() != expected:
        raise CorruptFileError(f"{path}: altered since it was written (its digest does not match)")
    if layout not in ("tree", "dataset"):
        raise CorruptFileError(f"{path}: layout {layout!r} is unknown to this version")
    return found, layout


def _walk(group: Any, path: str = "/") -> Iterator[tuple[str, Any]]:
    yield path, group
    for name, inner in group.groups.items():
        yield from _walk(inner, f"{path.rstrip('/')}/{name}")


def _head(name: str, dims: tuple[str, ...], item: Any) -> tuple[tuple[str, ...], tuple[int, ...], np.dtype[Any]]:
    """Dimensions, shape and type; the characters of a text are no dimension."""
    shape, dtype = tuple(item.shape), item.dtype
    if dtype.kind == "S" and dims and dims[-1] == f"{name}_characters":
        return dims[:-1], shape[:-1], np.dtype(f"S{max(shape[-1], 1)}")
    return dims, shape, dtype


def _digested(
    digest: Digest, place: str, name: str, item: Any, shape: tuple[int, ...], dtype: np.dtype[Any], keep: bool
) -> np.ndarray | None:
    """Feeds the values to the digest in slabs along the first dimension; returns them all if they are to be kept."""
    if not shape:
        data = read(item, (), dtype)
        digest.values(place, name, data)
        return data
    row = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, _SLAB // max(row, 1))
    out = np.empty(shape, dtype) if keep else None
    for start in range(0, shape[0], step):
        slab = read(item, (slice(start, min(start + step, shape[0])),), dtype)
        digest.values(place, name, slab)
        if out is not None:
            out[start : start + step] = slab
    return out


def _python(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as they were given: numbers of Python, not of numpy."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in attrs.items()}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
