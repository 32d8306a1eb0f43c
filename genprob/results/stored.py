"""An array that stays in its file: values are read, and decoded, when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from genprob.errors import CorruptFileError
from genprob.results import coding


class StoredArray(BackendArray):
    """One variable of a verified file; the file is opened for each access only.

    Raises `CorruptFileError` on access if the file was changed after it was verified.
    """

    def __init__(
        self,
        path: Path,
        place: str,
        stamp: tuple[int, int],
        shape: tuple[int, ...],
        attrs: Mapping[str, Any],
        dtype: np.dtype[Any],
    ) -> None:
        self._path, self._place, self._stamp = path.absolute(), place, stamp
        self._stored_attrs, self._stored_dtype = dict(attrs), dtype
        probe, self.attrs = coding.decode(np.zeros((1,), dtype), attrs)
        self.shape = shape
        self.dtype = np.dtype(f"U{dtype.itemsize}") if dtype.kind == "S" else probe.dtype

    def lazy(self) -> indexing.LazilyIndexedArray:
        """The array as xarray wants it."""
        return indexing.LazilyIndexedArray(self)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        try:
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_size) != self._stamp:
                raise CorruptFileError(f"{self._path}: was changed while it was in use; open it again")
            with h5py.File(self._path, "r") as hdf:
                data = read(hdf[self._place], key, self._stored_dtype)
        except FileNotFoundError:
            raise CorruptFileError(f"{self._path}: was removed while it was in use") from None
        return coding.decode(data, self._stored_attrs)[0].astype(self.dtype, copy=False)


def read(item: Any, key: tuple[Any, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """The values at `key`, texts joined from their characters."""
    data = np.asarray(item[key] if key else item[()])
    if dtype.kind == "S":
        data = np.ascontiguousarray(data, "S1")
        return np.asarray(data.view(f"S{data.shape[-1]}")[..., 0])
    return data.astype(dtype, copy=False)
