"""One model under examination: its table, its fits, and how a clause says that something does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genprob.errors import DataError, UsageError
from genprob.fitting import fit
from genprob.joint import Joint
from genprob.testing.tables import TABLES


class Broken(Exception):
    """A clause of the contract does not hold; the text says how."""


class Waived(Exception):
    """A clause says nothing about this model; the text says why."""


@dataclass
class Case:
    """One model under examination: its fits are made when a clause first needs them."""

    name: str
    given: Mapping[str, Any] | None
    inference: str | Mapping[str, Any] | None
    steps: int
    options: dict[str, Any]
    folder: Path
    refused: list[str] = field(default_factory=list)

    @cached_property
    def data(self) -> xr.Dataset:
        """The table that is used: the first that the model does not refuse."""
        if self.given is not None:
            return xr.Dataset(dict(self.given)) if not isinstance(self.given, xr.Dataset) else self.given
        for name, table in TABLES.items():
            try:
                self.fit(table(), steps=0)
            except (UsageError, DataError) as error:
                self.refused.append(f"{name}: {error}")
            else:
                return table()
        raise Broken(f"it refuses every table: {'; '.join(self.refused)}")

    @cached_property
    def joint(self) -> Joint:
        """The model fitted to the table."""
        return self.fit(self.data, out=self.folder / "run")

    @cached_property
    def small(self) -> Joint:
        """The model fitted to one or two variables, so that its whole law can be summed."""
        names = [v.name for v in self.joint.schema if v.cardinality and not v.shape][:2]
        names = names or [next((v.name for v in self.joint.schema if not v.shape), "")]
        if names == [""]:
            raise Waived("every variable is an array")
        return self.fit(self.data[names])

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """`Joint.query` of the fitted model."""
        return self.joint.query(*args, **kwargs)

    def fit(self, data: Any, *, steps: int | None = None, **more: Any) -> Joint:
        """A fit of the model under examination."""
        steps = self.steps if steps is None else steps
        return fit(data, self.name, inference=self.inference, steps=steps, seed=1, **more, **self.options)

    @cached_property
    def row(self) -> dict[str, Any]:
        """Values of the first row that holds all scalars."""
        table = self.joint.table(self.data)
        known = ~np.isnan(table.values)
        at = int(known.sum(1).argmax())
        ds = table.to_dataset().isel({self.joint.schema.sample_dim: at})
        return {
            v.name: ds[v.name].values[()]
            for v in self.joint.schema
            if known[at, self.joint.schema.slices[v.name]].all()
        }

    @cached_property
    def question(self) -> tuple[str, dict[str, Any]]:
        """A target and two given points."""
        scalars = [v.name for v in self.joint.schema if not v.shape and v.name in self.row]
        if len(scalars) < 2:
            raise Waived("fewer than two scalar variables")
        return scalars[0], {name: self.row[name] for name in scalars[1:3]}


def demand(holds: Any, otherwise: str) -> None:
    """Raises `Broken` unless it holds."""
    if not holds:
        raise Broken(otherwise)
