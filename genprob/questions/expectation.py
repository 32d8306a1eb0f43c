"""The expectation of a function of the targets, given evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from genprob.errors import UsageError


def expectation(function: Callable[[xr.Dataset], Any], answer: xr.DataTree) -> xr.DataArray:
    """See `Joint.expectation`; `answer` is the answer whose draws are averaged over."""
    draws = answer["posterior"].to_dataset()
    found = function(draws)
    if not isinstance(found, xr.DataArray) or not {"chain", "draw"} <= {str(d) for d in found.dims}:
        got = f"dims {found.dims}" if isinstance(found, xr.DataArray) else type(found).__name__
        raise UsageError(
            f"the function must return a DataArray with the dims chain and draw, one value per draw; it gave {got}"
        )
    values = found.astype(np.float64)
    mean, spread = values.mean(("chain", "draw")), values.std(("chain", "draw"))
    count = values.sizes["chain"] * values.sizes["draw"]
    ess = float(answer.attrs.get("ess", np.nan))
    count = min(count, ess) if np.isfinite(ess) and ess > 0 else count
    out = mean.assign_coords(standard_error=spread / np.sqrt(count)).rename("expectation")
    kept = ("strategy", "guarantee", "law", "reliable", "reasons")
    return out.assign_attrs({key: answer.attrs[key] for key in kept if key in answer.attrs})
