"""Lateral couplings: visible units that act on one another, drawn a site or a colour of sites at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from genprob.data.schema import Schema
from genprob_energy.evidence import Evidence
from genprob_energy.machine import Machine, Share
from genprob_energy.units import Units


@dataclass(frozen=True, eq=False)
class Sites:
    """Columns that are independent given all others.

    Attributes:
        columns: flat columns of the binaries among them.
        features: their features.
        places: their places among all binaries.
        levels: of each categorical column: the column, its first feature, and its number of levels.
    """

    columns: list[int]
    features: list[int]
    places: list[int]
    levels: list[tuple[int, int, int]]

    @classmethod
    def of(cls, units: Units, columns: list[int]) -> Sites:
        binaries = [j for j in columns if j in units.binaries]
        places = [units.binaries.index(j) for j in binaries]
        starts, at = {}, len(units.binaries)
        for j, size in units.levels.items():
            starts[j], at = at, at + size
        return cls(binaries, places, places, [(j, starts[j], units.levels[j]) for j in columns if j in units.levels])


@dataclass(frozen=True, eq=False)
class LateralMachine(Machine):
    """A machine whose visible units are coupled: f(x)' lateral f(x) / 2 is added to the log-density.

    Arguments:
        lateral: `[features, features]`, symmetric, zero within a column.
        sites: groups of columns without couplings among them.
    """

    lateral: Tensor = field(default_factory=lambda: torch.zeros(0))
    sites: tuple[Sites, ...] = ()

    def quadratic(self, features: Tensor) -> Tensor:
        return 0.5 * ((features @ self.lateral) * features).sum(-1)

    def draw_visible(self, hidden: Tensor, now: Tensor, evidence: Evidence | None, share: Share = 1.0) -> Tensor:
        """Every group of sites in turn given all others (Geman and Geman 1984)."""
        drive = self._drive(hidden, share)
        each = share[:, None] if isinstance(share, Tensor) else share
        points, features = now.clone(), self.units.features(now).clone()
        first = len(self.units.binaries)
        for group in self.sites:
            if group.columns:
                at = group.features
                logits = drive[:, at] + each * (features @ self.lateral[:, at])
                if evidence is not None and evidence.odds is not None:
                    logits = logits + evidence.odds[:, group.places]
                new = (torch.rand_like(logits) < torch.sigmoid(logits)).to(points.dtype)
                if evidence is not None:
                    new = torch.where(evidence.fixed[:, group.columns], evidence.value[:, group.columns], new)
                points[:, group.columns] = new
                features[:, at] = new
            for j, start, size in group.levels:
                part = slice(start, start + size)
                scores = drive[:, part] + each * (features @ self.lateral[:, part])
                if evidence is not None and evidence.likelihood is not None:
                    scores = scores + evidence.likelihood[:, start - first : start - first + size]
                new = (scores - torch.empty_like(scores).exponential_().log()).argmax(-1).to(points.dtype)
                if evidence is not None:
                    new = torch.where(evidence.fixed[:, j], evidence.value[:, j], new)
                points[:, j] = new
                features[:, part] = one_hot(new.long(), size).to(features.dtype)
        return points

    def log_conditionals(self, points: Tensor) -> Tensor:
        """log p(column | all other columns, hidden units summed out) of whole points, `[n, columns]`."""
        features = self.units.features(points)
        pull = self._pull(features)
        linear = self.visible + features @ self.lateral
        b, n = len(self.units.binaries), len(points)
        out = points.new_empty(n, b + len(self.units.levels))
        soft = torch.nn.functional.softplus

        def hidden(change: Tensor) -> Tensor:
            """What hidden units add for `[n, m, hidden]` logits."""
            return soft(change).sum(-1)

        if b:
            x = features[:, :b]
            rest = pull[:, None] - x[..., None] * self.weight[:b]
            odds = linear[:, :b] + hidden(rest + self.weight[:b]) - hidden(rest)
            out[:, :b] = torch.nn.functional.logsigmoid(torch.where(x > 0, odds, -odds))
        start = b
        for place, (j, size) in enumerate(self.units.levels.items()):
            part = slice(start, start + size)
            own = features[:, part]
            rest = pull - own @ self.weight[part]
            scores = linear[:, part] + hidden(rest[:, None] + self.weight[part])
            out[:, b + place] = torch.log_softmax(scores, -1).gather(1, points[:, j, None].long())[:, 0]
            start += size
        return out


def neighbours(schema: Schema) -> Tensor:
    """Pairs of columns `[width, width]` that lie side by side along a dimension of one array variable."""
    out = torch.zeros(schema.width, schema.width, dtype=torch.bool)
    for variable in schema:
        first = schema.slices[variable.name].start
        index = first + torch.arange(variable.size).reshape(variable.shape or (1,))
        for dim in range(index.ndim):
            left = index.narrow(dim, 0, index.shape[dim] - 1).reshape(-1)
            right = index.narrow(dim, 1, index.shape[dim] - 1).reshape(-1)
            out[left, right] = out[right, left] = True
    return out
