"""Data frames and parquet files as columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob.data.codec import label
from genprob.data.origin import Origin
from genprob.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def columns(frame: pd.DataFrame, origin: Origin) -> tuple[dict[str, np.ndarray], dict[str, list[str]], frozenset[str]]:
    """Raw columns by name, the levels of those that are pandas categoricals, in the order of the source, and which of
    these are ordered.

    Raises `DataError` for a name that appears twice.
    """
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{origin.source}: two columns have the name {twice[0]!r}; rename one")
    arrays: dict[str, np.ndarray] = {}
    levels: dict[str, list[str]] = {}
    ordered: set[str] = set()
    for j, name in enumerate(names):
        series = frame.iloc[:, j]
        if series.dtype.name == "category":
            levels[name] = [label(value) for value in series.cat.categories]
            ordered |= {name} if series.cat.ordered else set()
            codes = series.cat.codes.to_numpy()
            arrays[name] = np.array([*levels[name], None], dtype=object)[codes]
        else:
            arrays[name] = _array(series)
    return arrays, levels, frozenset(ordered)


def _array(series: Any) -> np.ndarray:
    kind = series.dtype.kind if hasattr(series.dtype, "kind") else "O"
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    if getattr(series.dtype, "tz", None) is not None:
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if kind in "biuf":
        if not series.isna().any():
            return series.to_numpy(dtype=f"{'bool' if kind == 'b' else kind + str(series.dtype.itemsize)}")
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind in "Mm":
        return series.to_numpy(dtype=f"{kind}8[us]", na_value=np.array("NaT", dtype=f"{kind}8[us]")[()])
    if series.dtype.name.startswith("period"):
        return series.dt.to_timestamp().to_numpy()
    return series.astype(object).to_numpy()


def read_parquet(path: Path) -> pd.DataFrame:
    """All rows of a parquet file. Raises `DataError` if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path).read().to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {str(error).splitlines()[0]}") from None


def read_parquet_chunks(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """The same in chunks of `rows` rows."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield pa.Table.from_batches([batch]).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {str(error).splitlines()[0]}") from None
