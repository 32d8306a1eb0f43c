"""The sample dimension of a data set: the one that all its variables share."""

from __future__ import annotations

from collections.abc import Hashable

import xarray as xr

from genprob.errors import DataError, UsageError


def columns(ds: xr.Dataset) -> dict[Hashable, xr.Variable]:
    """The data variables by name, without coordinates: `ds.data_vars` takes time squared in their number.

    >>> [(name, v.dims) for name, v in columns(xr.Dataset({"x": ("t", [1.0])}, {"t": [5]})).items()]
    [('x', ('t',))]
    """
    return {name: ds.variables[name] for name in ds.data_vars}


def sample_dimension(ds: xr.Dataset, wanted: str | None = None) -> Hashable:
    """The wanted dimension if the data have it, else the first that all variables share.

    Raises `DataError` naming two variables without a common dimension.

    >>> sample_dimension(xr.Dataset({"x": ("t", [1.0]), "y": (("t", "k"), [[2.0]])}))
    't'
    """
    if not ds.data_vars:
        raise DataError(f"{ds.attrs.get('source', 'data')}: holds no variable")
    if wanted is not None and wanted in ds.dims:
        return wanted
    variables = columns(ds)
    shared = [d for d in next(iter(variables.values())).dims if all(d in v.dims for v in variables.values())]
    if shared:
        return shared[0]
    first, dims = next((str(name), v.dims) for name, v in variables.items())
    for name, v in variables.items():
        if not set(dims) & set(v.dims):
            other = f"{str(name)!r} (dims {_listed(v.dims)})"
            raise DataError(
                f"{ds.attrs.get('source', 'data')}: variables {first!r} (dims {_listed(dims)}) and {other} share no "
                "dimension; rename one with ds.rename, drop the variable, or name the sample dimension (sample_dim=)"
            )
    raise DataError(
        f"{ds.attrs.get('source', 'data')}: no dimension is shared by all variables "
        f"({', '.join(f'{name} {_listed(v.dims)}' for name, v in variables.items())})"
    )


def require_dimension(ds: xr.Dataset, wanted: str) -> str:
    """The wanted sample dimension. Raises `UsageError` if no variable has it, `DataError` if some lack it."""
    if wanted not in ds.dims:
        raise UsageError(f"sample_dim={wanted!r}: the data have the dimensions {_listed(tuple(ds.dims))}")
    lacking = [str(name) for name, v in columns(ds).items() if wanted not in v.dims]
    if lacking:
        raise DataError(
            f"{ds.attrs.get('source', 'data')}: variables {', '.join(map(repr, lacking))} lack the sample dimension "
            f"{wanted!r}; drop them or name another (sample_dim=)"
        )
    return wanted


def _listed(dims: tuple[Hashable, ...]) -> str:
    return ", ".join(map(str, dims)) or "none"
