"""Starts: where EM begins, and with how many components."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob_mixture.em import expectation, log_density, maximisation
from genprob_mixture.rows import Rows

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

_START_ROWS = 20_000
_CHOICE_ROWS = 8_000
_CUT = 5.0
_GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


def place(mixture: Mixture, batch: Batch, *, seed: int) -> None:
    """Sets the parameters from k-means++ clusters (Arthur and Vassilvitskii 2007), the best of `restarts`.

    Each restart is judged by its objective after a few EM steps on at most 20,000 rows.
    """
    rng = np.random.default_rng(seed)
    rows = mixture.rows(_some(batch, _START_ROWS, rng))
    best: tuple[float, dict[str, Tensor]] | None = None
    for _ in range(mixture.restarts):
        _from_clusters(mixture, rows, int(rng.integers(2**31)))
        score = climb(mixture, rows, 8, 0.0) if mixture.restarts > 1 else 0.0
        if best is None or score > best[0]:
            best = score, {k: v.detach().clone() for k, v in mixture.state_dict().items()}
    assert best is not None
    mixture.load_state_dict(best[1])


def choose_components(mixture: Mixture, batch: Batch, *, seed: int) -> tuple[int, str]:
    """The number of components of greatest held-out log-likelihood along a grid, and a line that says so.

    At most 8,000 rows, a fifth of them held out; numbers are compared row by row, and the search stops after three in
    a row that do worse.
    """
    rng = np.random.default_rng(seed)
    sample = _some(batch, _CHOICE_ROWS, rng)
    n = len(sample)
    if n < 20:
        return 1, f"1 component: {n} rows are too few to choose by"
    order = torch.as_tensor(rng.permutation(n), device=batch.values.device)
    held, kept = sample.take(order[: n // 5]), sample.take(order[n // 5 :])
    rows, test = mixture.rows(kept), mixture.rows(held)
    scores: dict[int, float] = {}
    best, own, worse = 0, torch.zeros(0), 0
    for count in _GRID:
        if count > len(kept) // 4:
            break
        trial = copy.deepcopy(mixture)
        trial.build({"components": count})
        _from_clusters(trial, rows, int(rng.integers(2**31)))
        climb(trial, rows, 60, 2e-4)
        found = log_density(trial, test)
        scores[count] = float(found.mean())
        # A row that no component expects must not decide for all: differences are cut at a few nats.
        better = not best or float((found - own).clamp(-_CUT, _CUT).mean()) > 0
        best, own, worse = (count, found, 0) if better else (best, own, worse + 1)
        if worse == 3:
            break
    tried = ", ".join(f"{k}: {v:.3f}" for k, v in scores.items())
    plural = "component" if best == 1 else "components"
    how = f"{len(held)} of {n} rows held out and compared one by one, their means are {tried}"
    return best, f"{best} {plural} by held-out log-likelihood ({how})"


def climb(mixture: Mixture, rows: Rows, steps: int, tolerance: float) -> float:
    """A few EM steps in place; returns the last objective."""
    last = -np.inf
    for _ in range(steps):
        statistics, metrics = expectation(mixture, rows)
        mixture.write(maximisation(mixture, statistics, rows.count_values))
        objective = float(metrics["objective"])
        if objective - last < tolerance:
            break
        last = objective
    return last


def _some(batch: Batch, most: int, rng: np.random.Generator) -> Batch:
    if len(batch) <= most:
        return batch
    return batch.take(torch.as_tensor(np.sort(rng.choice(len(batch), most, replace=False)), device=batch.values.device))


def _from_clusters(mixture: Mixture, rows: Rows, seed: int) -> None:
    """One M-step from hard k-means assignments; unknown reals stand at their mean with their whole variance."""
    from sklearn.cluster import KMeans

    components, d = mixture.mean.shape
    space = torch.cat([rows.y, rows.hits * 0.7], 1).cpu().numpy()
    if components > 1 and space.shape[1]:
        distinct = len(np.unique(space[: 50 * components], axis=0)) if len(space) < 2000 else components
        clusters = min(components, len(space), max(1, distinct))
        means = KMeans(clusters, n_init=1, max_iter=10, random_state=seed)  # pyright: ignore[reportArgumentType]
        label = means.fit(space).labels_
    else:
        label = np.zeros(len(space), dtype=int)
    one = torch.nn.functional.one_hot(torch.as_tensor(label, dtype=torch.long), components)
    share = one.to(rows.y)
    weight, first = share.sum(0), share.T @ rows.y
    second = torch.stack([(share[:, k, None] * rows.y).T @ rows.y for k in range(components)])
    unknown = ~rows.patterns.masks[rows.patterns.of_row[rows.patterns.order]]
    second += torch.diag_embed(share.T @ unknown.to(rows.y))
    statistics = {"weight": weight, "first": first, "second": second, "hits": share.T @ rows.hits}
    if d:
        mixture.common.copy_(torch.eye(d, dtype=rows.y.dtype))
        mixture.write(maximisation(mixture, statistics, rows.count_values))
        n = weight.clamp(min=1e-10)
        scatter = (second - first[:, :, None] * first[:, None, :] / n[:, None, None]).sum(0) / len(rows)
        values, vectors = torch.linalg.eigh(scatter)
        mixture.common.copy_((vectors * values.clamp(min=float(mixture.floor.min()))) @ vectors.T)
    mixture.write(maximisation(mixture, statistics, rows.count_values))
