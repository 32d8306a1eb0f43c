"""Clouds: a query's conditional as weighted components, each drawn from and averaged in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.results.record import Marginal
from genprob_mixture import conditional as conditionals
from genprob_mixture import marginals as averages
from genprob_mixture.conditional import DEFENSIVE, Conditional
from genprob_mixture.tables import negative_binomial

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

_DRAWS = 65_536
"""Draws completed at once."""
_NODES = 32


class MixtureCloud:
    """J weighted (component, mean, covariance) triples a query.

    Arguments:
        conditional: the components' conditionals.
        k: `[Q, J]` components.
        log_weight: `[Q, J]`.
        mean: `[Q, J, d]` with boxes settled, or None to settle them draw by draw (exact for one box).
    """

    def __init__(self, conditional: Conditional, k: Tensor, log_weight: Tensor, mean: Tensor | None) -> None:
        self.conditional, self.k, self.log_weight, self.mean = conditional, k, log_weight, mean
        self.mixture: Mixture = conditional.mixture

    @torch.no_grad()
    def draw(self, index: Tensor) -> np.ndarray:
        queries, draws = index.shape
        step = max(1, _DRAWS // max(1, draws))
        parts = [self._draw(slice(a, a + step), index[a : a + step]) for a in range(0, queries, step)]
        return np.concatenate(parts)

    def _draw(self, part: slice, index: Tensor) -> np.ndarray:
        mixture, whole = self.mixture, self.conditional
        k = self.k[part].gather(1, index)
        out = torch.full((*index.shape, mixture.schema.width), torch.nan, dtype=torch.float64, device=k.device)
        if len(mixture.encoder):
            conditional = _rows(whole, part)
            if self.mean is None:
                mean, _ = conditional.settle(k)
            else:
                mean = self.mean[part].gather(1, index[..., None].expand(-1, -1, whole.mean.shape[-1]))
            root, pair = conditional.roots(k)
            noise = torch.randn_like(mean)
            if len(root) * 8 < pair.numel() and len(root) < 256:
                y = torch.empty_like(mean)
                for r in range(len(root)):  # few square roots, many draws each
                    at = pair == r
                    y[at] = noise[at] @ root[r].T
            else:
                y = (root[pair] @ noise[..., None])[..., 0]
            x = mixture.encoder.snap(mixture.encoder.decode(mean + y))
            out[..., mixture.encoder.columns] = x
        self._draw_levels(part, k, out)
        self._draw_counts(part, k, out)
        return out.cpu().numpy()

    def _draw_levels(self, part: slice, k: Tensor, out: Tensor) -> None:
        tables, evidence = self.mixture.tables, self.conditional.evidence
        log_probs = self.mixture.level_log_probs().detach()
        known = evidence.levels[part] if evidence.levels is not None else None
        if known is None and len(set(tables.sizes)) == 1:
            size = tables.sizes[0]
            cumulative = log_probs.exp().reshape(len(log_probs), -1, size).cumsum(-1)[..., :-1]
            u = torch.rand(*k.shape, len(tables.levels), 1, dtype=torch.float64, device=k.device)
            out[..., tables.levels] = (u > cumulative[k]).sum(-1).double()
            return
        for start, size, j in zip(tables.starts, tables.sizes, tables.levels, strict=True):
            logits = log_probs[:, start : start + size][k]
            if known is not None:
                logits = logits + known[:, None, start : start + size]
            cumulative = torch.softmax(logits, -1).cumsum(-1)[..., :-1]
            u = torch.rand(*k.shape, 1, dtype=torch.float64, device=k.device)
            out[..., j] = (u > cumulative).sum(-1).double()

    def _draw_counts(self, part: slice, k: Tensor, out: Tensor) -> None:
        mixture, evidence = self.mixture, self.conditional.evidence
        for c, j in enumerate(mixture.tables.counts):
            mean, size = mixture.log_mean[:, c].detach(), mixture.log_size[:, c].detach()
            out[..., j] = torch.poisson(_gamma(size[k], (size - mean)[k]))
            if j in evidence.counts:
                likelihood = evidence.counts[j][part]
                informed = torch.nonzero((likelihood != 0).any(1))[:, 0]
                grid = torch.arange(likelihood.shape[1], dtype=torch.float64, device=k.device)
                law = negative_binomial(grid, mean[:, None], size[:, None])
                for q in informed.tolist():
                    mass = torch.softmax(law + likelihood[q], -1).cumsum(-1)
                    u = torch.rand(k.shape[1], 1, dtype=torch.float64, device=k.device)
                    present, position = torch.unique(k[q], return_inverse=True)
                    for i, component in enumerate(present.tolist()):
                        at = position == i
                        out[q, at, j] = torch.searchsorted(mass[component], u[at, 0]).double()

    @torch.no_grad()
    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        exact = self.mean is None
        cloud = self._settled() if exact else self
        return averages.average(cloud, targets, exact=exact)

    def _settled(self) -> MixtureCloud:
        """The same law with a box turned into nodes: 32 equally likely values of the boxed column per component."""
        conditional = self.conditional
        if not conditional.settled or self.mixture.covariance_form == "diagonal":
            q = torch.arange(len(self.k), device=self.k.device)[:, None]
            return MixtureCloud(conditional, self.k, self.log_weight, conditional.mean[q, self.k])
        order = self.log_weight.argsort(1, descending=True)
        sorted_weight = self.log_weight.gather(1, order)
        tail = torch.softmax(sorted_weight, 1).cumsum(1)
        keep = int((tail < 1 - 1e-9).sum(1).max()) + 1
        order, sorted_weight = order[:, :keep], sorted_weight[:, :keep]
        k = self.k.gather(1, order).repeat_interleave(_NODES, 1)
        weight = sorted_weight.repeat_interleave(_NODES, 1) - math.log(_NODES)
        u = ((torch.arange(_NODES, dtype=torch.float64, device=k.device) + 0.5) / _NODES).repeat(keep)
        mean, _ = conditional.settle(k, u.expand(k.shape))
        return MixtureCloud(conditional, k, weight, mean)


def _gamma(log_shape: Tensor, log_rate: Tensor) -> Tensor:
    """Gamma draws; beyond a shape of 1e5, where the law is a point for every purpose, the mean."""
    shape = log_shape.exp()
    drawn = torch._standard_gamma(shape.clamp(max=1e5)) / log_rate.exp()
    return torch.where(shape > 1e5, (log_shape - log_rate).exp(), drawn)


def _rows(conditional: Conditional, part: slice) -> Conditional:
    """The queries of a slice; patterns are shared."""
    e = conditional.evidence
    evidence = type(e)(
        *(getattr(e, name)[part] for name in ("known", "y", "noisy", "reading", "noise", "bent", "value", "sd",
                                              "boxed", "lower", "upper", "log_scale", "table")),
    )  # fmt: skip
    return Conditional(
        conditional.mixture, evidence, conditional.mean[part], conditional.log_weight[part],
        conditional.pattern[part], conditional.settled, conditional.gain, conditional.spread, conditional.covariance,
    )  # fmt: skip


@torch.no_grad()
def exact(mixture: Mixture, queries: QueryBatch) -> MixtureCloud:
    """One entry a component; weights are exact where the queries have a closed form."""
    conditional = conditionals.condition(mixture, queries)
    log_weight = conditional.log_weight + conditional.log_mass()
    k = torch.arange(log_weight.shape[1], device=log_weight.device).expand_as(log_weight)
    return MixtureCloud(conditional, k, log_weight, None)


@torch.no_grad()
def propose(mixture: Mixture, queries: QueryBatch, particles: int) -> MixtureCloud:
    """Particles: components by their approximate evidence, boxes and readings settled in turn."""
    conditional = conditionals.condition(mixture, queries)
    guess = torch.log_softmax(conditional.log_weight + conditional.log_mass(), 1)
    prior = torch.log_softmax(conditional.log_weight, 1)
    guess = torch.where(torch.isfinite(guess), guess, -torch.inf)
    guess = torch.where(torch.isfinite(guess).any(1, keepdim=True), guess, prior)
    proposal = torch.logaddexp(guess + math.log(1 - DEFENSIVE), prior + math.log(DEFENSIVE))
    # systematic sampling: each component's number of particles is its expectation, rounded up or down
    offsets = torch.rand(len(guess), 1, dtype=torch.float64, device=guess.device)
    points = (torch.arange(particles, dtype=torch.float64, device=guess.device) + offsets) / particles
    cumulative = proposal.exp().cumsum(1)
    k = torch.searchsorted(cumulative / cumulative[:, -1:], points).clamp(max=guess.shape[1] - 1)
    mean, log_weight = conditional.settle(k)
    log_weight = log_weight + (conditional.log_weight - proposal).gather(1, k) - math.log(particles)
    return MixtureCloud(conditional, k, log_weight, mean)
