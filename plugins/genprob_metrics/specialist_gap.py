"""One joint beside a specialist for each variable."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from genprob.data.schema import Schema
from genprob.data.table import Table
from genprob.errors import DataError, UsageError
from genprob.joint import Joint
from genprob.metrics.asking import drawn, table
from genprob.metrics.bootstrap import resampled
from genprob.metrics.crps import levels, quantile_crps
from genprob.metrics.log_loss import log_loss, smoothed_log_loss
from genprob.metrics.scale import deviations
from genprob.metrics.score import Result, Score, grouped
from genprob.request import whole
from genprob_metrics.specialist import specialist
from genprob_metrics.training import training_rows

_RESAMPLES = 400


class SpecialistGap:
    """Each scalar variable given all others: the joint beside boosted trees that were trained for that variable alone.

    `gap` is the joint's score over the specialist's, below 1 where the joint is better: their geometric mean, and per
    variable. Numbers are scored by the CRPS at the same quantile levels for both, from the joint's draws and from
    quantile regressions; labels by the log-loss, the specialist's probabilities smoothed as shares of draws are.

    Arguments:
        train: the rows that the joint was fitted to, from which the specialists learn.
        variables: which variables; none for all scalar ones.
        specialist: `boosting` (scikit-learn's) or `lightgbm` (where it is installed).
        quantiles: number of quantile regressions of a number.
        rounds: of boosting.
        rows: at most so many held-out rows.
        draws: of the joint per row.
        seed: of rows, draws and specialists.
    """

    def __init__(
        self,
        *,
        train: Any = None,
        variables: tuple[str, ...] = (),
        specialist: Literal["boosting", "lightgbm"] = "boosting",
        quantiles: int = 9,
        rounds: int = 100,
        rows: int = 500,
        draws: int = 500,
        seed: int = 0,
    ) -> None:
        self.train = training_rows(train)
        self.variables = (variables,) if isinstance(variables, str) else tuple(variables)
        if specialist not in ("boosting", "lightgbm"):
            raise UsageError(f"specialist={specialist!r}: there are boosting and lightgbm")
        self.kind, self.quantiles = specialist, whole("quantiles", quantiles, 2)
        self.rounds, self.rows = whole("rounds", rounds, 1), whole("rows", rows, 2)
        self.draws, self.seed = whole("draws", draws, 2), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        names = self._asked(joint.schema)
        rows, train = table(joint, data), table(joint, self.train)
        enough = np.flatnonzero(rows.observed.sum(1) >= min(2, joint.schema.width))
        picked = np.sort(np.random.default_rng(self.seed).permutation(enough)[: self.rows])
        rows = rows.rows(picked)
        sd = deviations(train.values)
        ours, theirs = (np.full((len(rows), len(names)), np.nan) for _ in range(2))
        for k, name in enumerate(names):
            where = np.flatnonzero(rows.observed[:, joint.schema.slices[name].start])
            if not len(where):
                raise DataError(f"variable {name!r} is known in no row, so nothing can be compared; leave it out")
            ours[where, k], theirs[where, k] = self._pair(joint, name, rows.rows(where), train, sd)
        gap, parts = _gaps(ours, theirs, self.seed)
        n = (~np.isnan(ours)).sum(0)
        columns = {"units": "sd of the training rows (numbers), nats (labels)", "better": "lower"}
        return Result(
            (
                Score("gap", gap[0], gap[1], np.array(n.sum()), "ratio", "lower"),
                Score("gap_by_variable", *parts, n, "ratio", "lower", dims=("variable",)),
                grouped("joint_by_variable", "variable", list(ours.T), **columns),
                grouped("specialist_by_variable", "variable", list(theirs.T), **columns),
            ),
            coords={"variable": names},
            rows=picked,
            details={"joint_score": (("row", "variable"), ours), "specialist_score": (("row", "variable"), theirs)},
            attrs={"rows": len(rows), "training_rows": len(train), "rows_fitted": joint.rows, "specialist": self.kind},
        )

    def _asked(self, schema: Schema) -> tuple[str, ...]:
        names = tuple(schema[name].name for name in self.variables)
        arrays = [name for name in names if schema[name].shape]
        if arrays:
            raise UsageError(f"variable {arrays[0]!r} is an array; specialists are for scalars")
        names = names or tuple(v.name for v in schema if not v.shape)
        if not names or schema.width < 2:
            raise UsageError("there is no scalar variable with others to predict it from")
        return names

    def _pair(
        self, joint: Joint, name: str, rows: Table, train: Table, sd: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the joint and of the specialist `[row]`."""
        schema, variable = joint.schema, joint.schema[name]
        column = schema.slices[name].start
        truth = rows.values[:, column]
        at, hidden = levels(self.quantiles), np.zeros(rows.values.shape, dtype=bool)
        hidden[:, column] = True
        parts = drawn(joint, rows, hidden, self.draws, self.seed)
        learnt = specialist(self.kind, schema, train.values, column, at, self.rounds, self.seed)
        told = learnt(rows.values)
        if variable.cardinality is not None:
            hits = [log_loss(p.values[:, :, column : column + 1], truth[p.part, None], variable.cardinality)
                    for p in parts]  # fmt: skip
            stated = told[np.arange(len(truth)), truth.astype(int)]
            return np.concatenate(hits)[:, 0], smoothed_log_loss(stated, self.draws, variable.cardinality)
        quantiles = np.concatenate([np.quantile(p.values[:, :, column], at, axis=1).T for p in parts])
        return (
            quantile_crps(quantiles / sd[column], truth / sd[column]),
            quantile_crps(told / sd[column], truth / sd[column]),
        )


def _gaps(
    ours: np.ndarray, theirs: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The geometric mean of ratios and the ratios, each with the standard error of resampled rows."""

    def ratio(rows: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nansum(ours[rows], -2) / np.nansum(theirs[rows], -2)

    found = ratio(np.arange(len(ours)))
    again = resampled(len(ours), ratio, _RESAMPLES, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, means = np.exp(np.log(found).mean()), np.exp(np.log(again).mean(-1))
    return (np.array(mean), means.std(ddof=1)), (found, again.std(0, ddof=1))
