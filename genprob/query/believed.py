"""What a fit left as draws of a program's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.engine.diagnostics.ess import ess_bulk
from genprob.engine.diagnostics.rhat import rhat
from genprob.query import chained

if TYPE_CHECKING:
    import xarray as xr


MOST_DIVERGING = 0.01
"""A fit of whose transitions a larger share diverged is not believed."""


@dataclass(frozen=True, eq=False)
class Believed:
    """Draws of the parameters of a program given all rows, chain after chain.

    Attributes:
        draws: name -> `[chains * draws, *event]` float64.
        chains: how many chains there are.
        diverging: share of transitions that diverged.
    """

    draws: Mapping[str, Tensor]
    chains: int
    diverging: float = 0.0

    @classmethod
    def of(cls, tree: xr.DataTree, device: torch.device) -> Believed:
        """The draws that a run keeps (`joint.posterior`), those with the role `parameter`."""
        found = {
            str(name): torch.as_tensor(value.values, dtype=torch.float64, device=device).flatten(0, 1)
            for name, value in tree["posterior"].data_vars.items()
            if value.attrs.get("role") == "parameter"
        }
        stats = tree["sample_stats"].to_dataset()
        diverging = float(stats["diverging"].mean()) if "diverging" in stats else 0.0
        return cls(found, int(tree["posterior"].sizes["chain"]), diverging)

    def __len__(self) -> int:
        return len(next(iter(self.draws.values())))

    @cached_property
    def rhat(self) -> dict[str, float]:
        """The largest R-hat over each parameter's numbers."""
        return {name: float(rhat(self._apart(name)).max()) for name in self.draws}

    @cached_property
    def ess(self) -> dict[str, float]:
        """The smallest bulk effective sample size over each parameter's numbers."""
        return {name: float(ess_bulk(self._apart(name)).min()) for name in self.draws}

    def doubt(self) -> str:
        """Why the chains of the fit are not to be trusted, and what to do; empty where they are."""
        worst, name = max((value, name) for name, value in self.rhat.items())
        if not worst < chained.MOST_RHAT:
            return f"R-hat {worst:.3f} of the fit's chains of {name!r} is above {chained.MOST_RHAT}; fit for longer"
        if self.diverging > MOST_DIVERGING:
            return f"{100 * self.diverging:.1f} % of the fit's transitions diverged; raise its target"
        return ""

    def thinned(self, most: int) -> Tensor:
        """Positions of at most so many draws, as many of each chain, evenly over it."""
        each = len(self) // self.chains
        kept = min(each, max(1, most // self.chains))
        place = torch.as_tensor(np.linspace(0, each - 1, kept).round().astype(np.int64))
        return (torch.arange(self.chains)[:, None] * each + place).reshape(-1)

    def _apart(self, name: str) -> Tensor:
        """`[draw, chain, numbers]`."""
        return self.draws[name].reshape(self.chains, len(self) // self.chains, -1).transpose(0, 1).cpu()
