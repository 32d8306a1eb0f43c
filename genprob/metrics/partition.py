"""Partition functions: the log of an unnormalised law's total mass, from both ends of a temperature path."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genprob.query.diagnostics import effective_sample_size

LEAST_ESS = 10.0
"""Effective chains below which annealed weights say nothing."""
MOST_GAP = 1.0
"""Nats by which the estimates from the two ends may differ before the chains count as unmixed."""


class Path(Protocol):
    """Unnormalised laws over points, from one with a known partition function (share 0) to the one wanted (1)."""

    def start(self) -> Tensor:
        """Exact draws at 0, `[chains, *event]`, from torch's present random numbers."""
        ...

    def log_density(self, points: Tensor, share: float) -> Tensor:
        """log of the unnormalised density at a share, `[chains]` float64."""
        ...

    def step(self, points: Tensor, share: float) -> Tensor:
        """A transition that leaves the law at a share invariant."""
        ...


@torch.no_grad()
def anneal(path: Path, shares: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Annealed importance sampling (Neal 2001): log-weights `[chains]` float64 and the points they belong to.

    The mean weight is an unbiased estimate of Z(1) / Z(0), so its log is low on average. `shares` ascend from 0 to 1.
    """
    points = path.start()
    log_weight = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    for before, after in itertools.pairwise(shares):
        log_weight += path.log_density(points, after) - path.log_density(points, before)
        points = path.step(points, after)
    return log_weight, points


@torch.no_grad()
def melt(path: Path, points: Tensor, shares: Sequence[float]) -> Tensor:
    """The same path walked back from `points`: log-weights `[chains]` whose mean estimates Z(0) / Z(1).

    From exact draws at 1 it is unbiased, so minus its log is high on average (Grosse, Ghahramani and Adams 2015); from
    the model's own chains it inherits whatever they missed.
    """
    log_weight = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    for before, after in itertools.pairwise(reversed(shares)):
        points = path.step(points, before)
        log_weight += path.log_density(points, after) - path.log_density(points, before)
    return log_weight


@torch.no_grad()
def shares_of(path: Path, count: int, *, pilot: int = 64) -> list[float]:
    """`count + 1` ascending shares, dense where the law changes fast: a pilot run's increments get equal spreads.

    The spread of log Z's derivative along an evenly spaced pilot is the path's metric (Gelman and Meng 1998); shares
    are placed at equal distances. They are fixed before the run that is weighed, which so stays unbiased.
    """
    points, metric = path.start(), []
    grid = np.linspace(0.0, 1.0, pilot + 1) ** 2  # laws change fastest where couplings set in
    for before, after in itertools.pairwise(grid):
        gain = path.log_density(points, after) - path.log_density(points, before)
        metric.append(float(gain.std()) if len(points) > 1 else 1.0)
        points = path.step(points, after)
    distance = np.concatenate([[0.0], np.cumsum(np.maximum(np.nan_to_num(metric), 1e-6))])
    found = np.interp(np.linspace(0.0, distance[-1], count + 1), distance, grid)
    found[0], found[-1] = 0.0, 1.0
    return found.tolist()


def bridge(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log Z(1) / Z(0) and its standard error from log-weights of both directions (Bennett 1976; Shirts et al. 2003).

    The number at which both directions agree on how often one overtakes the other; maximum likelihood, and less
    biased than either. Weights lie along the last axis, and axes before it are problems of their own.

    >>> rng = np.random.default_rng(0)  # N(0, 1) to N(1, 1) times e^2, in one step
    >>> x, y = rng.normal(size=4000), rng.normal(1, 1, size=4000)
    >>> found, error = bridge(2 + x - 0.5, -(2 + y - 0.5))
    >>> bool(abs(found - 2) < 4 * error < 0.2)
    True
    """
    n, m = forward.shape[-1], backward.shape[-1]
    offset = math.log(n / m)
    finite = np.where(np.isfinite(forward), forward, np.nan)
    low = np.fmin(np.nanmin(finite, -1), (-backward).min(-1)) - 50
    high = np.fmax(np.nanmax(finite, -1), (-backward).max(-1)) + 50
    while np.any(high - low > 1e-9 * np.maximum(1.0, np.abs(high))):
        middle = 0.5 * (low + high)
        # Falls as `middle` grows, and is 0 at the answer.
        ahead = _sigmoid(forward - middle[..., None] - offset).sum(-1)
        above = ahead > _sigmoid(backward + middle[..., None] + offset).sum(-1)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    found = np.asarray(0.5 * (low + high))
    sides = (forward - found[..., None] - offset, backward + found[..., None] + offset)
    share = np.concatenate([_sigmoid(side) for side in sides], -1)
    information = np.maximum((share * (1 - share)).sum(-1), 1e-300)
    return found, np.sqrt(np.maximum(0.0, 1 / information - 1 / n - 1 / m))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


@dataclass(frozen=True)
class Partition:
    """log Z, and what is known of its error.

    Attributes:
        value, error: the best estimate in nats and its standard error; 0 where exact.
        optimistic: by annealing, low on average: log p that rests on it is too high.
        conservative: by melting; high on average where it began at exact draws, otherwise so only if the chains that
            it began at had found all of the law.
        kind: `exact` or `estimate`.
        interval: True where optimistic and conservative bound log Z (stochastically) from both sides.
        reason: why the estimate is not to be trusted; empty where it is.
    """

    value: float
    error: float
    optimistic: float
    conservative: float
    kind: str = "estimate"
    interval: bool = False
    reason: str = ""

    @classmethod
    def exact(cls, value: float) -> Partition:
        """A log-partition function that was summed."""
        return cls(value, 0.0, value, value, "exact", True)

    @property
    def reliable(self) -> bool:
        """True unless there is a reason for doubt."""
        return not self.reason

    def __str__(self) -> str:
        if self.kind == "exact":
            return f"log Z = {self.value:.3f}, exact"
        names = "optimistic / bridge / conservative"
        bounds = "an interval" if self.interval else "no interval: melted from the model's own chains"
        doubt = f"; unreliable: {self.reason}" if self.reason else ""
        numbers = f"{self.optimistic:.3f} / {self.value:.3f} / {self.conservative:.3f}"
        return f"log Z {names} = {numbers}, standard error {self.error:.3f} ({bounds}{doubt})"


def estimate(
    path: Path, log_first: float, shares: Sequence[float], *, exact: Tensor | None = None, settle: int = 50
) -> tuple[Partition, Tensor]:
    """log Z(1) from annealing, melting and the bridge between them, and points of the law at 1.

    Arguments:
        path: chains in parallel.
        log_first: log Z(0).
        shares: of the path, ascending from 0 to 1.
        exact: exact draws of the law at 1, where they can be had; None melts what annealing arrived at, resampled by
            its weights and moved on.
        settle: transitions at 1 before annealed points are melted.
    """
    forward, points = anneal(path, shares)
    began = exact
    if began is None:
        share = torch.softmax(forward, 0).nan_to_num(1 / len(forward))
        began = points[torch.multinomial(share, len(points), replacement=True)]
        for _ in range(settle):
            began = path.step(began, 1.0)
    backward = melt(path, began, shares)
    ahead, back = forward.cpu().numpy(), backward.cpu().numpy()
    value, error = (float(part) for part in bridge(ahead, back))
    optimistic, conservative = _log_mean(ahead), -_log_mean(back)
    reason = _doubt(ahead, back, optimistic, conservative)
    found = (log_first + x for x in (value, optimistic, conservative))
    value, optimistic, conservative = found
    return Partition(value, error, optimistic, conservative, "estimate", exact is not None, reason), began


def _doubt(ahead: np.ndarray, back: np.ndarray, optimistic: float, conservative: float) -> str:
    if not (np.isfinite(ahead).all() and np.isfinite(back).all()):
        return "weights that are no finite numbers"
    ess = min(float(effective_sample_size(ahead)), float(effective_sample_size(back)))
    if abs(conservative - optimistic) > MOST_GAP:
        return f"its two ends differ by {conservative - optimistic:.2f} nats"
    if ess < min(LEAST_ESS, len(ahead) / 2):
        return f"its weights are worth {ess:.1f} of {len(ahead)} chains"
    return ""


def _log_mean(log_weight: np.ndarray) -> float:
    return float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight)))
