"""Starts: where EM begins, and with how many components."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
_FEW = 10
"""Rows for each real column, below which full covariances have to prove themselves."""
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


def choose(mixture: Mixture, batch: Batch, *, seed: int) -> tuple[dict[str, Any], str]:
    """The structure of greatest held-out log-likelihood, and a line that says so: components and covariances.

    What the user has not said is tried: numbers of components along a grid, until three in a row do worse, and where
    rows are few for their columns low-rank covariances beside full ones. At most 8,000 rows, a fifth of them held
    out; candidates are compared row by row.
    """
    rng = np.random.default_rng(seed)
    sample = _some(batch, _CHOICE_ROWS, rng)
    n, d = len(sample), len(mixture.encoder)
    sparing = n < _FEW * d and d > 2 * mixture.rank + 1  # with fewer columns factors are no fewer numbers
    forms = [mixture.asked_form] if mixture.asked_form else ["full", "low-rank"] if sparing else ["full"]
    counts = _GRID if mixture.components is None else (mixture.components,)
    if n < 20 or (len(forms) == 1 and len(counts) == 1):
        structure = {"components": counts[0], "covariance": forms[-1]}
        return structure, f"1 component: {n} rows are too few to choose by" if len(counts) > 1 else ""
    order = torch.as_tensor(rng.permutation(n), device=batch.values.device)
    held, kept = sample.take(order[: n // 5]), sample.take(order[n // 5 :])
    rows, test = mixture.rows(kept), mixture.rows(held)
    best: _Trial | None = None
    scores: dict[str, dict[int, float]] = {}
    for form in forms:
        own: _Trial | None = None
        worse = 0
        for count in counts:
            if count > len(kept) // 4 and len(counts) > 1:
                break
            trial = copy.deepcopy(mixture)
            trial.build({"components": min(count, len(kept)), "covariance": form})
            _from_clusters(trial, rows, int(rng.integers(2**31)))
            climb(trial, rows, 60, 2e-4)
            found = _Trial(count, form, log_density(trial, test))
            scores.setdefault(form, {})[count] = float(found.scores.mean())
            own, worse = (found, 0) if own is None or found.beats(own) else (own, worse + 1)
            if worse == 3:
                break
        assert own is not None
        best = own if best is None or own.beats(best) else best
    assert best is not None
    several = len(forms) > 1
    tried = "; ".join(
        f"{form} " * several + ", ".join(f"{k}: {v:.3f}" for k, v in found.items()) for form, found in scores.items()
    )
    what = f"{best.components} {'component' if best.components == 1 else 'components'}"
    what += f" of {best.covariance} covariance" * several
    how = f"{len(held)} of {n} rows held out and compared one by one, their means are {tried}"
    return best.structure, f"{what} by held-out log-likelihood ({how})"


@dataclass(frozen=True)
class _Trial:
    """A structure, and the log-likelihood of each held-out row."""

    components: int
    covariance: str
    scores: Tensor

    def beats(self, other: _Trial) -> bool:
        """A row that no component expects must not decide for all: differences are cut at a few nats."""
        return float((self.scores - other.scores).clamp(-_CUT, _CUT).mean()) > 0

    @property
    def structure(self) -> dict[str, Any]:
        return {"components": self.components, "covariance": self.covariance}


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
