"""Clouds: a query's conditional as weighted components, each drawn from and averaged in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.results.join import join_marginals
from genprob.results.record import Marginal
from genprob_mixture import conditional as conditionals
from genprob_mixture import marginals as averages
from genprob_mixture.conditional import DEFENSIVE, Conditional
from genprob_mixture.marginals import Entries
from genprob_mixture.tables import negative_binomial

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

_PATHS = 8
"""Sampled paths by which a component's evidence is guessed before particles are dealt out."""
_DRAWS = 8_192
"""Draws completed at once: their square roots stay in cache."""
_AVERAGED = 8_000_000
"""Numbers held at once for marginals."""


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
            conditional = whole.of(part)
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
        queries, entries = self.k.shape
        nodes = self.conditional.evidence.lower.shape[-1] * 64 if self.mean is None and self.conditional.settled else 1
        step = max(1, _AVERAGED // (entries * max(24, len(self.mixture.encoder)) * nodes))
        parts = [slice(a, min(queries, a + step)) for a in range(0, queries, step)]
        found = [averages.average(self._entries(part), targets) for part in parts]
        return {name: join_marginals([f[name] for f in found]) for name in targets}

    def _entries(self, part: slice) -> Callable[[int | None], Entries]:
        """What a slice of the queries is averaged over, for a real column or for the tables (None)."""
        conditional = self.conditional.of(part)
        k, log_weight = self.k[part], self.log_weight[part]
        q = torch.arange(len(k), device=k.device)[:, None]
        coupled = self.mixture.covariance_form != "diagonal"

        @cache
        def plain() -> Entries:
            mean = conditional.mean[q, k] if self.mean is None else self.mean[part]
            return Entries(conditional, *averages.weighty(k, mean, log_weight), self.mean is None)

        @cache
        def spread(only: int | None) -> Entries:
            order = log_weight.argsort(1, descending=True)
            ordered = log_weight.gather(1, order)
            keep = int((torch.softmax(ordered, 1).cumsum(1) < 1 - 1e-9).sum(1).max()) + 1
            chosen = k.gather(1, order[:, :keep])
            mean, log_share = conditional.nodes(chosen, only)
            weight = (ordered[:, :keep, None] + log_share).flatten(1)
            chosen = chosen.repeat_interleave(mean.shape[2], 1)
            return Entries(conditional, *averages.weighty(chosen, mean.flatten(1, 2), weight), True)

        def of(c: int | None) -> Entries:
            if self.mean is not None or c is None or not conditional.settled:
                return plain()
            if coupled:
                return spread(None)
            return spread(c) if c in conditional.settled else plain()

        return of


def _gamma(log_shape: Tensor, log_rate: Tensor) -> Tensor:
    """Gamma draws; beyond a shape of 1e5, where the law is a point for every purpose, the mean."""
    shape = log_shape.exp()
    drawn = torch._standard_gamma(shape.clamp(max=1e5)) / log_rate.exp()
    return torch.where(shape > 1e5, (log_shape - log_rate).exp(), drawn)


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
    guess = torch.log_softmax(conditional.log_weight + conditional.log_mass(_PATHS), 1)
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
