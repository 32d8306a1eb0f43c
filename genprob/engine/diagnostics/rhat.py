"""R-hat: how much wider all chains are together than each is alone."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.engine.diagnostics.normal_scores import checked, normal_scores, split
from genprob.engine.diagnostics.quantile import quantile
from genprob.errors import UsageError


def rhat(draws: Tensor) -> Tensor:
    """Rank-normalised, folded split R-hat (Vehtari et al. 2021), `[draw, chain, ...] -> [...]`.

    The larger of that of the ranks (location) and that of the distances from the median (scale). 1 for a constant,
    infinite for chains that are constant but differ. Below 1.01 for chains that have mixed; for many short chains use
    `nested_rhat`.

    >>> _ = torch.manual_seed(0)
    >>> draws = torch.randn(500, 4, 2) + torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    >>> (rhat(draws) < 1.01).tolist()
    [True, False]
    """
    halves = split(checked(draws))
    flat = halves.flatten(0, 1)
    folded = (halves - quantile(flat, 0.5)).abs()
    # Distances that are all alike have no R-hat, and say nothing.
    found = torch.fmax(_plain(normal_scores(halves)), _plain(normal_scores(folded)))
    constant = (flat == flat[0]).all(0)
    return torch.where(constant, 1.0, found)


def nested_rhat(draws: Tensor, superchains: int) -> Tensor:
    """Nested R-hat for many short chains (Margossian et al. 2024), `[draw, chain, ...] -> [...]`.

    Chains come in groups of equal size, those of a group from one starting point: chains 0, 1, ... are the first
    group. One draw per chain is enough. Tends to 1 as the starting points are forgotten.

    Arguments:
        superchains: number of groups; at least two.

    Raises `UsageError` where the chains cannot be grouped so.
    """
    steps, chains = draws.shape[:2]
    if superchains < 2 or chains % superchains or steps * chains == superchains:
        raise UsageError(f"{chains} chains of {steps} draws cannot be {superchains} groups of equal size")
    draws = draws if draws.is_floating_point() else draws.to(torch.float64)
    grouped = draws.unflatten(1, (superchains, chains // superchains))
    means = grouped.mean(0)
    inside = grouped.var(0).mean(1) if steps > 1 else torch.zeros_like(means[:, 0])
    if means.shape[1] > 1:
        inside = inside + means.var(1)
    between, within = means.mean(1).var(0), inside.mean(0)
    return torch.where((between == 0) & (within == 0), 1.0, (1 + between / within).sqrt())


def _plain(draws: Tensor) -> Tensor:
    """R-hat of Gelman and Rubin (1992) with chains as they are."""
    steps = len(draws)
    between, within = steps * draws.mean(0).var(0), draws.var(0).mean(0)
    return ((between / within + steps - 1) / steps).sqrt()
