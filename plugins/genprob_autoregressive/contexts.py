"""Contexts: partly known rows as the networks of an ensemble read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import linear

from genprob_autoregressive.laws import LevelLaw
from genprob_autoregressive.slab import SlabLaw

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder


@dataclass(frozen=True, eq=False)
class NetworkContexts:
    """Partly known rows.

    Attributes:
        model: what reads them.
        h: `[n, hidden]` what the heads read.
        mean, sd: `[n, numbers]` of the Gaussian.
        member: `[n]` whose heads those are; None for the first one's.
    """

    model: ResidualAnyOrder
    h: Tensor
    mean: Tensor
    sd: Tensor
    member: Tensor | None

    @torch.no_grad()
    def law(self, column: int, rows: Tensor | None = None) -> LevelLaw | SlabLaw:
        model = self.model
        if column in model.levels.columns:
            at = model.levels.slice(model.levels.columns.index(column))
            logits = self._raw("softmax", at, rows).double()
            log_p = torch.log_softmax(logits + model.levels.log_frequency[at], 1)
            return LevelLaw(column, log_p, model.schema.columns[column].support.kind == "binary")
        c = model.coordinates.columns.index(column)
        mean, sd = (m[:, c] if rows is None else m[rows, c] for m in (self.mean, self.sd))
        width, atoms = 3 * model.logistics, 1 + model.atoms.width
        raw = self._raw("slab", slice(c * width, (c + 1) * width), rows).double()
        weight, loc, scale = model.slab_of(raw.view(len(raw), 3, model.logistics), mean, sd)
        masses = self._raw("masses", slice(c * atoms, (c + 1) * atoms), rows).double()
        share = torch.log_softmax(masses + model.atoms.log_prior(mean, sd, model.coordinates.grain, c), 1)
        value, place = model.atoms.value[c], model.atoms.place[c]
        return SlabLaw(model.coordinates, c, column, weight + share[:, :1], loc, scale, share[:, 1:], value, place)

    def _raw(self, name: str, part: slice, rows: Tensor | None) -> Tensor:
        """A part of a head's output for some rows, `[rows, width]`, each by its own member."""
        h = self.h if rows is None else self.h[rows]
        networks = self.model.networks
        if self.member is None:
            head = getattr(networks[0], name)
            return linear(h, head.weight[part], head.bias[part])
        member = self.member if rows is None else self.member[rows]
        out = h.new_empty(len(h), part.stop - part.start)
        for m in torch.unique(member).tolist():
            own, head = member == m, getattr(networks[m], name)
            out[own] = linear(h[own], head.weight[part], head.bias[part])
        return out
