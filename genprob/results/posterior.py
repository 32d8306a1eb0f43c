"""Draws of a model's unknowns as a labelled tree, in ArviZ's group names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def posterior_tree(
    unknowns: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
    *,
    roles: Mapping[str, str] | None = None,
    dims: Mapping[str, tuple[str, ...]] | None = None,
) -> xr.DataTree:
    """Groups `posterior` and `sample_stats` of draws `[chain, draw, *event]` and `[chain, draw]`.

    An event's dimensions are `<name>_dim_0`, `<name>_dim_1`, ... as ArviZ calls them, but for those that `dims` names;
    `roles` are told as the attribute `role`, `attrs` go to the root.

    >>> import numpy as np
    >>> tree = posterior_tree({"slope": np.zeros((4, 100, 3))}, {"lp": np.zeros((4, 100))}, {"inference": "hmc"})
    >>> tree["posterior"]["slope"].dims
    ('chain', 'draw', 'slope_dim_0')
    """
    import xarray as xr

    def event(name: str, rank: int) -> tuple[str, ...]:
        own = (dims or {}).get(name, ())
        return (*own, *(f"{name}_dim_{i}" for i in range(rank - len(own))))

    def labelled(values: Mapping[str, np.ndarray]) -> xr.Dataset:
        data = {
            name: (
                ("chain", "draw", *event(name, value.ndim - 2)),
                value,
                {"role": roles[name]} if roles and name in roles else {},
            )
            for name, value in values.items()
        }
        coords = {}
        if values:
            chains, draws = next(iter(values.values())).shape[:2]
            coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
        return xr.Dataset(data, coords)

    tree = xr.DataTree.from_dict({"/posterior": labelled(unknowns), "/sample_stats": labelled(stats)})
    tree.attrs = dict(attrs)
    return tree
