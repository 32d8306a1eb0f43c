"""Proper scores of hidden cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.data.schema import Schema
from genprob.joint import Joint
from genprob.metrics.asking import drawn, table
from genprob.metrics.crps import fair_crps
from genprob.metrics.energy import fair_energy
from genprob.metrics.log_loss import log_loss
from genprob.metrics.masks import SHARES, Masks, checked
from genprob.metrics.scale import deviations, numeric
from genprob.metrics.score import Result, Score, averaged, grouped
from genprob.request import whole


class Masked:
    """Hides random cells of rows, draws them again given the others, and scores the draws by proper scores.

    Reals and counts: fair CRPS per cell and fair energy score per row, both in standard deviations; labels and
    binaries: log-loss of the smoothed shares of draws, in nats.

    Arguments:
        shares: shares of a row's known cells that stay observed, rows dealt evenly to them; 1 leaves one cell out.
        rows: at most so many rows are asked.
        draws: per row.
        train: training rows, whose standard deviations are the units; without them those of the data.
        seed: of rows, masks and draws.
    """

    def __init__(
        self,
        *,
        shares: tuple[float, ...] = SHARES,
        rows: int = 1000,
        draws: int = 100,
        train: Any = None,
        seed: int = 0,
    ) -> None:
        self.shares, self.rows, self.draws = checked(shares), whole("rows", rows, 1), whole("draws", draws, 2)
        self.train, self.seed = train, whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        schema, rows = joint.schema, table(joint, data)
        masks = Masks.random(schema, rows.values, self.shares, self.rows, self.seed)
        sd = deviations(rows.values if self.train is None else table(joint, self.train).values)
        truth, numbers = rows.values[masks.rows], numeric(schema)
        levels = np.array([v.cardinality or 0 for v in schema.columns])[~numbers]
        hit = np.full(truth.shape, np.nan)
        energy = np.full(len(truth), np.nan)
        failed = unanswered = 0
        for got in drawn(joint, rows.rows(masks.rows), masks.hidden, self.draws, self.seed):
            asked, true = masks.hidden[got.part], truth[got.part]
            values, scale = got.values[:, :, numbers] / sd[numbers], true[:, numbers] / sd[numbers]
            scores = np.full(true.shape, np.nan)
            scores[:, numbers] = fair_crps(values, scale)
            scores[:, ~numbers] = log_loss(got.values[:, :, ~numbers], true[:, ~numbers], levels)
            hit[got.part] = np.where(asked, scores, np.nan)
            energy[got.part] = fair_energy(values, scale, asked[:, numbers])
            failed, unanswered = failed + int(got.failed.sum()), unanswered + int(got.unanswered.sum())
        found: list[Score] = []
        units = f"sd of the {'data' if self.train is None else 'training rows'}"
        for name, cells, unit in (
            ("crps", hit[:, numbers], units),
            ("energy", energy, units),
            ("log_loss", hit[:, ~numbers], "nats"),
        ):
            if np.isfinite(cells).any():
                about = {"units": unit, "better": "lower"}
                found += [
                    averaged(name, cells, **about),
                    grouped(f"{name}_by_share", "share", masks.parts(cells, self.shares), **about),
                ]
        found += by_variable(schema, hit, units)
        return Result(
            tuple(found),
            coords={"share": self.shares, "variable": schema.names},
            rows=masks.rows,
            attrs={"rows": len(truth), "draws": self.draws, "failed": failed, "unanswered": unanswered},
        )


def by_variable(schema: Schema, cells: np.ndarray, units: str) -> list[Score]:
    """CRPS of the numeric variables and log-loss of the labelled, each NaN where the other is meant."""
    out = []
    for name, labelled, unit in (("crps", False, units), ("log_loss", True, "nats")):
        mine = [v for v in schema if (v.cardinality is not None) == labelled]
        if mine:
            nothing = np.full((len(cells), 1), np.nan)
            parts = [cells[:, schema.slices[v.name]] if v in mine else nothing for v in schema]
            out.append(grouped(f"{name}_by_variable", "variable", parts, units=unit, better="lower"))
    return out
