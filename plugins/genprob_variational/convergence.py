"""Does the likelihood's estimate converge? The bound by ever more draws of the guide."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.score import Result, averaged
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Proposes
from genprob.request import whole


class Convergence:
    """The k-sample bound on log p of rows for k = 1, 10, 100, ... (Burda, Grosse and Salakhutdinov 2016).

    It rises with k to the log-likelihood in expectation; where the last step still rises, the estimate is low.

    Arguments:
        particles: the largest k.
        rows: of the data, the first so many.
        seed: of the draws.
    """

    def __init__(self, *, particles: int = 1000, rows: int = 200, seed: int = 0) -> None:
        self.particles, self.rows = whole("particles", particles, 1), whole("rows", rows, 1)
        self.seed = whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        model = joint.model
        if not isinstance(model, Proposes):
            raise UsageError(f"{type(model).__name__} proposes nothing, so there is no bound that could converge")
        values = table(joint, data).values[: self.rows]
        known = (~np.isnan(values)).sum(1)
        parts = []
        with running(joint.rng(self.seed)), torch.no_grad():
            for part in joint.chunks(len(values), self.particles):
                cloud = model.propose(QueryBatch.from_values(joint.schema, values[part]), self.particles)
                parts.append(cloud.log_weight.cpu().numpy())
        weights = np.concatenate(parts) if parts else np.zeros((0, self.particles))
        weights = weights + np.log(self.particles)  # each by itself
        measure = "; ".join(f"{v.name}: {v.measure.text()}" for v in joint.schema if v.measure is not None)
        about = {"better": "higher", "kind": "lower_bound", "measure": measure}
        sizes = [10**e for e in range(12) if 10**e < self.particles] + [self.particles]
        bounds = {k: np.where(known > 0, _bound(weights, k), np.nan) for k in sizes}
        largest = bounds[self.particles]
        scores = [averaged(f"bound_{k}", bounds[k], units="nats per row", **about) for k in reversed(sizes)]
        with np.errstate(invalid="ignore", divide="ignore"):
            scores.append(averaged("per_cell", largest / known, units="nats per cell", **about))
        return Result(tuple(scores))


def _bound(weights: np.ndarray, k: int) -> np.ndarray:
    """Mean over groups of k draws of the log of their mean weight, `[rows]`."""
    groups = weights[:, : weights.shape[1] // k * k].reshape(len(weights), -1, k)
    return (np.logaddexp.reduce(groups, axis=2) - np.log(k)).mean(1)
