"""A table: the modelled variables of a data set as one block of float64 numbers with NaN for missing cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from genprob.data.codec import column, decode, encode
from genprob.data.coordinates import in_order
from genprob.data.dims import sample_dimension
from genprob.data.origin import Origin, of_dataset
from genprob.data.schema import Schema, Variable
from genprob.data.strangers import refuse_slip
from genprob.data.support import Categorical
from genprob.errors import DataError

__all__ = ["Table", "decode", "encode"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of the modelled variables.

    Arguments:
        schema: the modelled variables (ignored ones are dropped).
        values: `[row, schema.width]` float64, columns in the order of `schema.slices`, category codes, NaN = missing.
        coord: labels of the sample dimension, `[row]`, or None.
        notes: what was changed or looks odd, one line each.
    """

    schema: Schema
    values: np.ndarray
    coord: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dataset(
        cls,
        schema: Schema,
        ds: xr.Dataset,
        source: str | None = None,
        strict: bool = True,
        allow_missing: bool = False,
    ) -> Table:
        """Converts and checks a data set; variables that the schema does not model are passed over.

        Arguments:
            schema: which variables, with which supports.
            ds: the data, as `genprob.read` returns them.
            source: how messages name the data; what the reader noted, else `data`.
            strict: refuse unseen labels and values out of support; False takes them as missing, with a note.
            allow_missing: a variable absent from `ds` is missing in every row, instead of an error.

        Raises `DataError` naming source, variable, row and value.
        """
        stated, schema = schema, schema.modelled
        present = [name for name in schema.names if name in ds.variables]
        dim = sample_dimension(ds[present] if present else ds, schema.sample_dim)
        origin = of_dataset(ds, dim, source)
        rows = ds.sizes[dim]
        absent = [name for name in schema.names if name not in present]
        if absent and not allow_missing:
            raise DataError(
                f"{origin.source}: no variable {', '.join(map(repr, absent))}; "
                f"it has {', '.join(map(repr, ds.data_vars))}"
            )
        for name in absent:
            refuse_slip(name, [str(v) for v in ds.data_vars if v not in stated], origin.source)
        values = np.full((rows, schema.width), np.nan)
        notes: list[str] = []
        for variable in schema:
            if variable.name in absent:
                continue
            cells = ds.variables[variable.name]
            if variable.shape:
                cells = in_order(
                    ds[variable.name], schema.labels, f"{origin.source}: variable {variable.name!r}"
                ).variable
            array = _event_array(variable, cells, str(dim), origin)
            numbers, remarks = column(variable, array, origin, strict)
            values[:, schema.slices[variable.name]] = numbers.reshape(rows, variable.size)
            notes += remarks
        empty = np.flatnonzero(np.isnan(values).all(axis=1))
        if len(empty) and not allow_missing:
            notes.append(f"{len(empty)} rows have no known cell (the first is {origin.row(int(empty[0]))})")
        coord = ds.coords[dim].values if dim in ds.coords else None
        return cls(schema, values, coord, tuple(notes))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def observed(self) -> np.ndarray:
        """`[row, schema.width]` bool, False at missing cells."""
        return ~np.isnan(self.values)

    def rows(self, index: np.ndarray | slice) -> Table:
        """The table of these rows, by position or boolean mask."""
        coord = None if self.coord is None else self.coord[index]
        return replace(self, values=self.values[index], coord=coord)

    def to_dataset(self) -> xr.Dataset:
        """The data again, decoded: labels, integers, exact table values, dates."""
        dim = self.schema.sample_dim
        arrays = {
            v.name: xr.DataArray(
                decode(self.schema, v.name, self.values[:, self.schema.slices[v.name]].reshape(len(self), *v.shape)),
                dims=(dim, *v.dims),
                attrs=_attributes(v),
            )
            for v in self.schema
        }
        coords = {event: (event, labels) for event, labels in self.schema.labels.items()}
        return xr.Dataset(arrays, coords | ({} if self.coord is None else {dim: (dim, self.coord)}))


def _attributes(variable: Variable) -> dict[str, object]:
    attributes: dict[str, object] = {}
    if isinstance(variable.support, Categorical):
        attributes["levels"] = list(variable.support.levels)
        if variable.support.ordered:
            attributes["ordered"] = 1
    elif variable.unit and " since " not in variable.unit:  # xarray writes the units of dates itself
        attributes["units"] = variable.unit
    return attributes


def _event_array(variable: Variable, data: xr.Variable, dim: str, origin: Origin) -> np.ndarray:
    """The variable's cells as `[row, *event]` in the order of its dims."""
    if dim not in data.dims:
        raise DataError(f"{origin.source}: variable {variable.name!r} has dims {data.dims}, without {dim!r}")
    event = tuple(str(d) for d in data.dims if d != dim)
    order = variable.dims if set(variable.dims) == set(event) else event
    array = data.transpose(dim, *order).values
    if array.shape[1:] != variable.shape:
        raise DataError(
            f"{origin.source}: variable {variable.name!r} has the event shape {array.shape[1:]}, "
            f"the schema {variable.shape}"
        )
    return array
