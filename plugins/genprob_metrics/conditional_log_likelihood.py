"""Held-out conditional log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.masks import SHARES, Masks, checked
from genprob.metrics.score import Result, averaged, grouped
from genprob.request import whole
from genprob_metrics.log_likelihood import simulation


class ConditionalLogLikelihood:
    """Mean of log p(rest | given) over rows, or of log p(hidden cells | the others) under random masks.

    Arguments:
        given: variables that are given; none for random masks.
        shares: shares of a row's known cells that stay observed under random masks; 1 leaves one cell out.
        rows: at most so many rows are masked.
        seed: of rows, masks and of what has to be integrated by simulation.
    """

    def __init__(
        self, *, given: tuple[str, ...] = (), shares: tuple[float, ...] = SHARES, rows: int = 5000, seed: int = 0
    ) -> None:
        self.given: Sequence[str] = (given,) if isinstance(given, str) else tuple(given)
        self.shares, self.rows, self.seed = checked(shares), whole("rows", rows, 1), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        return self._fixed(joint, data) if self.given else self._masked(joint, data)

    def _fixed(self, joint: Joint, data: Any) -> Result:
        given = {joint.schema[name].name for name in self.given}
        rest = [v for v in joint.schema if v.name not in given]
        if not rest:
            raise UsageError(f"given={','.join(self.given)}: nothing is left to score; give fewer variables")
        scored = joint.conditional_log_prob(data, given=list(self.given), seed=self.seed)
        known = table(joint, data).observed[:, np.array([v.name not in given for v in joint.schema.columns])]
        score = averaged(
            "conditional_log_likelihood",
            np.where(known.any(1), scored["log_prob"].values, np.nan),
            units="nats per row",
            better="higher",
            kind=str(scored.attrs["kind"]),
            measure="; ".join(f"{v.name}: {v.measure.text()}" for v in rest if v.measure is not None),
        )
        attrs = simulation(scored["standard_error"].values) | {"given": ", ".join(self.given)}
        return Result((score,), attrs=attrs)

    def _masked(self, joint: Joint, data: Any) -> Result:
        rows = table(joint, data)
        masks = Masks.random(joint.schema, rows.values, self.shares, self.rows, self.seed)
        whole_rows = rows.rows(masks.rows)
        observed = replace(whole_rows, values=np.where(masks.hidden, np.nan, whole_rows.values))
        above = joint.log_prob(whole_rows.to_dataset(), seed=self.seed)
        below = joint.log_prob(observed.to_dataset(), seed=self.seed)
        cells = above["log_prob"].values - below["log_prob"].values
        about = {
            "units": "nats per row",
            "better": "higher",
            # The difference of two bounds bounds nothing.
            "kind": "exact" if above.attrs["kind"] == below.attrs["kind"] == "exact" else "estimate",
            "measure": str(above.attrs.get("measure", "")),
        }
        error = np.hypot(above["standard_error"].values, below["standard_error"].values)
        return Result(
            (
                averaged("conditional_log_likelihood", cells, **about),
                grouped("conditional_log_likelihood_by_share", "share", masks.parts(cells, self.shares), **about),
            ),
            coords={"share": self.shares},
            rows=masks.rows,
            attrs=simulation(error),
        )
