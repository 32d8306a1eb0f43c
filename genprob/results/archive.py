"""Writing a file of ours part by part: netCDF-4 through h5netcdf, checksums on every chunk, the digest as it grows."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob import atomic
from genprob.errors import UsageError
from genprob.results.coding import Stored, encode, fitted, plain_attrs
from genprob.results.digest import Digest, dtype_name

if TYPE_CHECKING:
    import xarray as xr

_CHUNK = 1 << 20  # bytes of one chunk of an array whose size is known
_GROWING_CHUNK = 1 << 14  # of one that grows, or that many rows: the last chunk is laid down in full
_GROWING_ROWS = 128
_STRUCTURE = 1 << 12  # bytes that a variable's description takes


class Archive:
    """A file in the making at a temporary path.

    Arguments:
        temporary: where to write.
        path: the name the file will have, for messages.
        layout: `tree` or `dataset`.
        grows: the dimension along which parts are appended, or None.
        total: its final size, if known.
    """

    def __init__(
        self, temporary: Path, path: Path, layout: str, grows: str | None = None, total: int | None = None
    ) -> None:
        import h5netcdf
        import h5py

        self.path, self.grows, self.total = path, grows, total
        self._layout, self._done, self._parts = layout, 0, 0
        self._raw = _Disk(temporary, "w+b")
        # The newest form that netCDF-C of any age in use reads; its checksums cover all but the values. A variable is
        # written in order, so that more than its last chunk need not be held.
        self._hdf = h5py.File(self._raw, "w", track_order=True, libver=("v110", "v110"), rdcc_nbytes=_CHUNK)
        self._file = h5netcdf.File(self._hdf, "a")
        self._digest = Digest()
        self._group_attrs: dict[str, dict[str, Any]] = {}
        self._variables: dict[tuple[str, str], _Variable] = {}

    @property
    def done(self) -> int:
        """How far the growing dimension has grown."""
        return self._done

    def append(self, groups: Mapping[str, xr.Dataset]) -> None:
        """Writes the next part: path -> data set. The first part says what there is; others add along `grows`."""
        with self._disk_first():
            self._append(groups)

    def finish(self, attrs: Mapping[Any, Any]) -> None:
        """Writes the attributes of the root and the digest, and closes the file."""
        with self._disk_first():
            self._finish(attrs)

    def abandon(self) -> None:
        """Closes what is open, whatever state it is in."""
        self._raw.broken = self._raw.broken or OSError("abandoned")
        for part in (self._file, self._hdf, self._raw):
            with contextlib.suppress(Exception):
                part.close()

    @contextlib.contextmanager
    def _disk_first(self) -> Iterator[None]:
        """What the disk refused is raised, not what HDF5 made of it."""
        try:
            yield
        except Exception:
            self._check()
            raise
        self._check()

    def _check(self) -> None:
        if self._raw.broken is not None:
            raise self._raw.broken

    def _append(self, groups: Mapping[str, xr.Dataset]) -> None:
        stored = {
            (group, str(name)): (tuple(map(str, v.dims)), encode(str(name), v.values, v.attrs))
            for group, dataset in groups.items()
            for name, v in dataset.variables.items()
        }
        attrs = {group: plain_attrs(dataset.attrs, group) for group, dataset in groups.items() if group != "/"}
        count = max((d.sizes[self.grows] for d in groups.values() if self.grows in d.sizes), default=0)
        if self.total is not None and self._done + count > self.total:
            raise UsageError(f"{self.path}: more than the {self.total} {self.grows} entries that were announced")
        if self._parts and set(stored) != set(self._variables):
            odd = sorted(set(stored) ^ set(self._variables))[0]
            raise UsageError(f"{self.path}: variable {'/'.join(odd)!r} is not in every part of the answer")
        atomic.require_space(self.path, sum(s.data.nbytes + _STRUCTURE for _, s in stored.values()))
        if not self._parts:
            self._group_attrs = attrs
            for group in groups:
                if group != "/":
                    self._file.create_group(group)
        for (group, name), (dims, part) in stored.items():
            if self._parts:
                self._extend(group, name, dims, part, count)
            else:
                self._create(group, name, dims, part)
        self._done += count
        self._parts += 1

    def _finish(self, attrs: Mapping[Any, Any]) -> None:
        if self.total is not None and self._done != self.total:
            raise UsageError(
                f"{self.path}: {self._done} of the {self.total} announced {self.grows} entries were written"
            )
        self._group_attrs["/"] = plain_attrs(attrs, "the result") | {"genprob_layout": self._layout}
        self._settle()
        for (group, name), v in self._variables.items():
            target = self._place(group)[name]
            for key, value in v.attrs.items():
                if key not in target.attrs:
                    target.attrs[key] = value
            self._digest.variable(group, name, v.dims, v.shape, dtype_name(v.dtype), v.attrs)
        for group, values in self._group_attrs.items():
            target = self._place(group)
            for key, value in values.items():
                target.attrs[key] = value
            self._digest.group(group, values)
        self._file.attrs["genprob_digest"] = self._digest.hexdigest()
        self._file.close()
        self._hdf.close()
        self._raw.close()

    def _settle(self) -> None:
        """Tells the dimensions how far their variables have grown."""
        for (group, name), v in self._variables.items():
            if self.grows not in v.dims:
                continue
            dimensions = self._place(group).dimensions
            if self.total is None and dimensions[self.grows].size != self._done:
                self._place(group).resize_dimension(self.grows, self._done)
            if v.dtype.kind == "S":
                self._place(group).resize_dimension(f"{name}_characters", v.hdf.shape[-1])

    def _create(self, group: str, name: str, dims: tuple[str, ...], part: Stored) -> None:
        place = self._place(group)
        data, width = _laid_down(part.data)
        shape = [self._size(dim, n) for dim, n in zip(dims, part.data.shape, strict=True)]
        growing = self.grows in dims and self.total is None
        if growing and dims[0] != self.grows:
            raise UsageError(f"{self.path}: variable {name!r} has {self.grows!r} not as its first dimension")
        for dim, size in zip(dims, shape, strict=True):
            if dim not in place.dimensions:
                place.dimensions[dim] = None if growing and dim == self.grows else size
        if width is not None:
            dims_on_disk: tuple[str, ...] = (*dims, f"{name}_characters")
            place.dimensions[dims_on_disk[-1]] = None if self.grows in dims else width
            if self.grows in dims:
                place.resize_dimension(dims_on_disk[-1], width)
        else:
            dims_on_disk = dims
        if growing:
            place.resize_dimension(self.grows, part.data.shape[0])
        full = (*shape, *data.shape[len(shape) :])
        options: dict[str, Any] = {}
        if full and 0 not in full:
            options["chunks"] = _chunks(full, data.itemsize, growing)
            options["fletcher32"] = True
            # Random floats do not compress; codes, integers and text do. lzf would lock out netCDF-C.
            if data.dtype.kind != "f":
                options |= {"compression": "gzip", "compression_opts": 1, "shuffle": data.dtype.itemsize > 1}
        attrs = dict(part.attrs)
        fill = part.fill if part.fill is not None and data.dtype.kind == "i" else None
        variable = place.create_variable(name, dims_on_disk, data.dtype, fillvalue=fill, **options)
        if fill is not None:
            attrs["_FillValue"] = fill
        for key, value in attrs.items():
            if key != "_FillValue":
                variable.attrs[key] = value
        hdf = self._hdf[variable.name]
        self._write(hdf, data, 0)
        self._digest.values(group, name, part.data)
        shape = list(part.data.shape)
        self._variables[group, name] = _Variable(hdf, dims, shape, part.data.dtype, attrs, _sha(part.data))

    def _extend(self, group: str, name: str, dims: tuple[str, ...], part: Stored, count: int) -> None:
        v = self._variables[group, name]
        where = f"{group}/{name}".lstrip("/")
        part = fitted(where, part, v.dtype)
        if self.grows not in dims:
            if dims != v.dims or _sha(part.data) != v.first:
                raise UsageError(f"{self.path}: {where!r} differs between parts of the answer")
            return
        if dims != v.dims or list(part.data.shape[1:]) != v.shape[1:]:
            raise UsageError(f"{self.path}: {where!r} changes its shape between parts of the answer")
        if dims == (name,):
            part = Stored(part.data + self._done, part.attrs, part.fill)
        data, width = _laid_down(part.data)
        # h5netcdf would look at every variable of the group for each of them; it sees the new sizes at the end.
        if self.total is None:
            v.hdf.resize(self._done + count, axis=0)
        if width is not None and width > v.hdf.shape[-1]:
            v.hdf.resize(width, axis=data.ndim - 1)
        self._write(v.hdf, data, self._done)
        self._digest.values(group, name, part.data)
        v.shape[0] += count
        if part.fill is not None and part.data.dtype.kind == "i":
            v.attrs.setdefault("_FillValue", part.fill)

    def _write(self, hdf: Any, data: np.ndarray, start: int) -> None:
        if data.ndim == 0:
            hdf[()] = data
        elif data.size:
            region = (slice(start, start + len(data)), *(slice(0, n) for n in data.shape[1:]))
            hdf[region] = data
        self._check()

    def _place(self, group: str) -> Any:
        return self._file if group == "/" else self._file[group]

    def _size(self, dim: str, size: int) -> int:
        return self.total if dim == self.grows and self.total is not None else size


class _Variable:
    """What was written of a variable so far."""

    def __init__(
        self, hdf: Any, dims: tuple[str, ...], shape: list[int], dtype: np.dtype[Any], attrs: dict[str, Any], first: str
    ) -> None:
        self.hdf, self.dims, self.shape, self.dtype, self.attrs, self.first = hdf, dims, shape, dtype, attrs, first


class _Disk(io.FileIO):
    """A file that never fails towards HDF5, which crashes on a full disk: the first refusal is kept in `broken`."""

    broken: Exception | None = None

    def write(self, data: Any, /) -> int:  # type: ignore[override]
        size = memoryview(data).nbytes
        if self.broken is None:
            try:
                done = 0
                while done < size:
                    done += super().write(memoryview(data).cast("B")[done:]) or 0
            except OSError as error:
                self.broken = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        if self.broken is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.broken = error
        return size or 0


def _sha(data: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()


def _laid_down(data: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Texts as single characters with one more dimension, and its size; numbers as they are."""
    if data.dtype.kind != "S":
        return data, None
    width = data.dtype.itemsize
    return np.ascontiguousarray(data).reshape(*data.shape, 1).view("S1"), width


def _chunks(shape: Sequence[int], itemsize: int, growing: bool) -> tuple[int, ...]:
    """The longest chunk that is contiguous in C order and not above the target; free in a first axis that grows."""
    row = itemsize * int(np.prod(shape[1:], dtype=np.int64))
    target = min(_CHUNK, max(_GROWING_CHUNK, _GROWING_ROWS * row)) if growing else _CHUNK
    chunks = list(shape)
    for axis, size in enumerate(shape):
        inner = itemsize * int(np.prod(shape[axis + 1 :], dtype=np.int64))
        room = max(1, target // inner)
        chunks[axis] = room if growing and axis == 0 else min(size, room)
        if inner <= target:
            break
    return tuple(chunks)
