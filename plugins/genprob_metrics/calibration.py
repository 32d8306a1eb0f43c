"""Calibration of the answers about hidden cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.metrics.asking import drawn, table
from genprob.metrics.masks import SHARES, Masks, checked
from genprob.metrics.ranks import inside, kolmogorov, pit
from genprob.metrics.score import Result, Score, averaged, grouped
from genprob.request import whole


class Calibration:
    """Hides random cells of rows, draws them again given the others, and ranks the truth among the draws.

    Cover: how often the central interval of a level holds the truth. PIT: Kolmogorov's distance of the ranks from the
    uniform law, per variable; `p_value` is the smallest of the variables' p-values times their number.
    Labels are ranked in the order of the schema's levels.

    Arguments:
        levels: of the central intervals.
        shares: shares of a row's known cells that stay observed, rows dealt evenly to them; 1 leaves one cell out.
        rows: at most so many rows are asked.
        draws: per row.
        seed: of rows, masks and draws.
    """

    def __init__(
        self,
        *,
        levels: tuple[float, ...] = (0.5, 0.8, 0.95),
        shares: tuple[float, ...] = SHARES,
        rows: int = 1000,
        draws: int = 100,
        seed: int = 0,
    ) -> None:
        self.levels = tuple(float(level) for level in levels)
        if not self.levels or not all(0 < level < 1 for level in self.levels):
            raise UsageError(f"levels={levels!r}: expected numbers between 0 and 1, e.g. 0.5,0.95")
        self.shares, self.rows = checked(shares), whole("rows", rows, 1)
        self.draws, self.seed = whole("draws", draws, 2), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        schema, rows = joint.schema, table(joint, data)
        masks = Masks.random(schema, rows.values, self.shares, self.rows, self.seed)
        truth = np.where(masks.hidden, rows.values[masks.rows], np.nan)
        rng = np.random.default_rng([self.seed, 1])
        ranks = np.full(truth.shape, np.nan)
        failed = unanswered = 0
        for got in drawn(joint, rows.rows(masks.rows), masks.hidden, self.draws, self.seed):
            ranks[got.part] = pit(got.values, truth[got.part], rng)
            failed, unanswered = failed + int(got.failed.sum()), unanswered + int(got.unanswered.sum())
        slices = [schema.slices[name] for name in schema.names]
        single = _one_a_row(ranks, slices, rng)
        tests = np.array([kolmogorov(column) for column in single.T])
        tried = int((~np.isnan(tests[:, 1])).sum())
        counts = (~np.isnan(single)).sum(0)
        worst = min(1.0, float(np.nanmin(tests[:, 1])) * tried)
        blank = np.full(len(schema), np.nan)
        variables: dict[str, Any] = {"n": counts, "error": blank, "units": "", "dims": ("variable",)}
        scores = [
            *self._cover(slices, ranks, masks),
            Score("p_value", np.array(worst), np.array(np.nan), np.array(int(counts.sum())), "", "p-value"),
            Score("pit_distance", tests[:, 0], better="lower", ideal=0.0, **variables),
            Score("pit_p_value", tests[:, 1], better="p-value", **variables),
        ]
        return Result(
            tuple(scores),
            coords={"share": self.shares, "variable": schema.names},
            rows=masks.rows,
            details={"pit": (("row", "variable"), single)},
            attrs={"rows": len(truth), "draws": self.draws, "failed": failed, "unanswered": unanswered},
        )

    def _cover(self, slices: list[slice], ranks: np.ndarray, masks: Masks) -> list[Score]:
        out = []
        for level in self.levels:
            held = inside(ranks, level)
            name = f"cover_{100 * level:g}".replace(".", "_")
            about: dict[str, Any] = {"units": "share", "better": "nearer", "ideal": level}
            out += [
                averaged(name, held, **about),
                grouped(f"{name}_by_share", "share", masks.parts(held, self.shares), **about),
                grouped(f"{name}_by_variable", "variable", [held[:, columns] for columns in slices], **about),
            ]
        return out


def _one_a_row(ranks: np.ndarray, slices: list[slice], rng: np.random.Generator) -> np.ndarray:
    """`[row, variable]` one rank of each variable at random, so that ranks of different rows are independent."""
    out = np.full((len(ranks), len(slices)), np.nan)
    for k, columns in enumerate(slices):
        block = ranks[:, columns]
        order = np.where(np.isnan(block), np.inf, rng.random(block.shape))
        out[:, k] = np.take_along_axis(block, order.argmin(1)[:, None], 1)[:, 0]
    return out
