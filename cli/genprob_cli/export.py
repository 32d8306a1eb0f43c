"""Labelled data to a file, in the format that its name says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genprob.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".nc", ".csv", ".parquet")


def check(path: Path) -> None:
    """`UsageError` for a name that says no known format and for a folder that is not there, before any work is done."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def export(dataset: xr.Dataset, path: Path) -> None:
    """Writes the data set whole or not at all. A table holds scalars only: arrays need `.nc`."""
    check(path)
    from genprob import atomic
    from genprob.results import file

    if path.suffix.lower() == ".nc":
        file.write(dataset, path)
        return
    arrays = [str(name) for name, variable in dataset.data_vars.items() if variable.ndim > 1]
    if arrays:
        raise UsageError(f"{path}: {', '.join(map(repr, arrays))} hold arrays, which no table holds; write a .nc file")
    frame = dataset.to_dataframe()[[str(name) for name in dataset.data_vars]]
    with atomic.replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
