"""The audit: strategies are asked about rows whose truth is known, and held to what they claim.

A joint that can be sampled can plant its own truth: draw a row, tell a part of it, ask the very strategy that would
answer a user, and rank the hidden part among the answer's draws. Over many rows the ranks are uniform exactly if the
draws come from the right conditional (Cook, Gelman and Rubin 2006; Talts et al. 2018, simulation-based calibration).
That sees what convergence diagnostics cannot: a mode that no chain and no proposal ever visited.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from genprob.data.batch import Batch
from genprob.errors import UsageError
from genprob.query import planting
from genprob.query.batch import NOTHING, POINT, RANGE, QueryBatch
from genprob.query.capabilities import Draws, ScoresRows
from genprob.query.likelihood import log_ceiling, log_likelihood
from genprob.query.planner import Planner
from genprob.query.ranks import band, rank, uniformity
from genprob.query.strategy import PARTICLES
from genprob.results.join import join, uniform

if TYPE_CHECKING:
    from genprob.joint import Joint

LEVELS = (0.5, 0.8, 0.95)
"""Nominal coverage of the central intervals that are counted."""
ALPHA = 0.01
"""How often a cell of an exact strategy may be accused."""
RANKED = 99
"""Draws among which a truth is ranked."""
LEAST = 40
"""Fewer truths than that decide nothing."""
_EVIDENCE_DRAWS = 20_000
_PROBES = 2_000
_BINS = 20


@dataclass(frozen=True)
class Cell:
    """What the audit found of one strategy, for one kind of evidence and share of variables given.

    Attributes:
        source: `planted` (truths from the joint: errors are the computation's) or `held_out` (rows of data: errors
            are the model's as well).
        strategy, kind, share: which cell.
        queries: truths ranked.
        failed: answers that the strategy itself called failed.
        p_rank: of uniform ranks of a random hidden column.
        p_evidence: of uniform ranks of a hidden column with the sign of its best predictor among the evidence.
        p_density: of uniform ranks of the joint log-density of the whole row; NaN if the model has none.
        p_variable: of the least uniform single variable, times the number of variables.
        z_evidence: claimed against simulated probability of the evidence, in standard errors; NaN if not checked.
        coverage, coverage_se: of LEVELS, over all hidden columns.
        shape: `[20]` share of ranks in each twentieth.
        seconds: spent.
    """

    source: str
    strategy: str
    kind: str
    share: float
    queries: int
    failed: int
    p_rank: float
    p_evidence: float
    p_density: float
    p_variable: float
    z_evidence: float
    coverage: tuple[float, ...]
    coverage_se: tuple[float, ...]
    shape: tuple[float, ...]
    seconds: float

    @property
    def p(self) -> float:
        """The smallest p-value times the number of tests."""
        from scipy.stats import norm

        tests = [self.p_rank, self.p_evidence, self.p_density, self.p_variable, 2 * norm.sf(abs(self.z_evidence))]
        tests = [t for t in tests if np.isfinite(t)]
        return min(1.0, len(tests) * min(tests)) if tests else 1.0

    @property
    def verdict(self) -> str:
        """`ok`, `fail`, or `unknown` where too few truths were ranked."""
        if self.queries < LEAST:
            return "unknown"
        return "fail" if self.p < ALPHA else "ok"

    @property
    def forecast(self) -> str:
        """What to expect of an answer in this cell, in words."""
        parts = [
            f"{100 * level:.0f} % intervals cover {100 * c:.0f} %"
            for level, c in zip(LEVELS, self.coverage, strict=True)
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Audit:
    """The cells of an audit, and where an answer looks its own up."""

    cells: tuple[Cell, ...]

    def lookup(self, strategy: str, kind: str, share: float) -> tuple[str, str]:
        """Status and reason for an answer: the planted cell of its strategy and kind with the nearest share given."""
        if kind == "nothing":
            return "ok", ""
        cells = [c for c in self.cells if c.source == "planted" and (c.strategy, c.kind) == (strategy, kind)]
        if not cells:
            return "unknown", f"calibration: {strategy} was not audited on evidence like this ({kind})"
        most = max(c.queries for c in cells)
        cells = [c for c in cells if c.verdict != "unknown"]
        if not cells:
            return "unknown", f"calibration: too few questions like this ({kind}) were asked of {strategy}: {most}"
        cell = min(cells, key=lambda c: abs(c.share - share))
        if cell.verdict == "ok":
            return "ok", ""
        given = f"{100 * cell.share:.0f} % of the variables given"
        return (
            "fail",
            f"calibration: the audit fails {strategy} on {kind} with {given} (p = {cell.p:.2g}; {cell.forecast})",
        )

    def dataset(self) -> xr.Dataset:
        """The cells along dim `cell`, labelled.

        `band_low` and `band_high` hold between which the cumulated `shape` of uniform ranks lies as a whole, but for
        ALPHA of the audits.
        """
        data: dict[str, Any] = {}
        for name in ("source", "strategy", "kind", "verdict", "forecast"):
            data[name] = ("cell", np.asarray([getattr(c, name) for c in self.cells], dtype=str))
        for name in ("share", "p_rank", "p_evidence", "p_density", "p_variable", "p", "z_evidence", "seconds"):
            data[name] = ("cell", np.asarray([getattr(c, name) for c in self.cells], dtype=np.float64))
        for name in ("queries", "failed"):
            data[name] = ("cell", np.asarray([getattr(c, name) for c in self.cells], dtype=np.int64))
        for name in ("coverage", "coverage_se"):
            data[name] = (("cell", "level"), np.asarray([getattr(c, name) for c in self.cells], dtype=np.float64))
        data["shape"] = (("cell", "bin"), np.asarray([c.shape for c in self.cells], dtype=np.float64))
        bands = np.array([_band(c.queries) for c in self.cells]).reshape(-1, 2, _BINS)
        data |= {"band_low": (("cell", "bin"), bands[:, 0]), "band_high": (("cell", "bin"), bands[:, 1])}
        return xr.Dataset(data, coords={"level": list(LEVELS)}, attrs={"alpha": ALPHA, "draws_ranked": RANKED})

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Audit:
        """Reads `dataset()` back."""
        texts, numbers = ("source", "strategy", "kind"), ("share", "p_rank", "p_evidence", "p_density", "p_variable")
        cells = []
        for i in range(ds.sizes["cell"]):
            one = ds.isel(cell=i)
            about: dict[str, Any] = {name: str(one[name].item()) for name in texts}
            about |= {name: float(one[name]) for name in (*numbers, "z_evidence", "seconds")}
            about |= {name: int(one[name]) for name in ("queries", "failed")}
            about |= {name: tuple(map(float, one[name].values)) for name in ("coverage", "coverage_se", "shape")}
            cells.append(Cell(**about))
        return cls(tuple(cells))


def _band(queries: int) -> np.ndarray:
    """Between which shares of the ranks lie below the end of each twentieth, all together, at the audit's level."""
    if not queries:
        return np.full((2, _BINS), np.nan)
    return np.stack(band(queries, _BINS - 1, 1 - ALPHA)) / queries


def run(
    joint: Joint,
    truths: np.ndarray,
    *,
    source: str,
    kind: str,
    share: float,
    strategy: str | None,
    budget: int | None,
    rng: np.random.Generator,
) -> list[Cell]:
    """One kind of evidence and share given, on the rows `truths [n, width]`: a cell per strategy that answered.

    Raises `UsageError` for a joint that cannot be sampled, an unknown kind and a share outside (0, 1).
    """
    if not isinstance(joint.model, Draws):
        raise UsageError(f"{type(joint.model).__name__} cannot be sampled, so it cannot plant truths")
    if kind not in planting.KINDS:
        raise UsageError(f"kind {kind!r} is not one of: {', '.join(planting.KINDS)}")
    if not 0 < share < 1:
        raise UsageError(f"share {share}: the share of the variables given lies between 0 and 1")
    started = time.monotonic()
    signs = association(joint.model.draw(_PROBES))
    given = planting.masks(joint.schema, len(truths), share, rng) & ~np.isnan(truths)
    queries = planting.plant(joint.schema, truths, given, kind, rng)
    keep = np.asarray(queries.asked.any(1))
    return judge(
        joint, truths[keep], queries.take(keep), signs, rng,
        source=source, kind=kind, share=share, strategy=strategy, budget=budget, started=started,
    )  # fmt: skip


def judge(
    joint: Joint, rows: np.ndarray, queries: QueryBatch, signs: np.ndarray, rng: np.random.Generator, *,
    source: str, kind: str, share: float, strategy: str | None, budget: int | None, started: float,
) -> list[Cell]:  # fmt: skip
    """Asks queries whose truths are `rows`, and judges each strategy that answered some."""
    planner = Planner(joint, strategy)
    parts = [
        planner.answer(queries.take(part), RANKED, 0, budget, single=False, lenient=True)
        for part in joint.chunks(len(queries), max(budget or PARTICLES, RANKED))
    ]
    values = uniform(join(parts), RANKED).values[:, 0]
    strategies = np.array([s for p in parts for s in p.strategy])
    computation = np.array([c for p in parts for c in p.computation])
    evidence = _evidence_check(joint, queries, planner, budget) if kind != "points" and source == "planted" else {}
    spent = time.monotonic() - started
    cells = []
    for name in sorted(set(strategies)):
        mine = strategies == name
        reached = mine & ~np.isnan(np.where(queries.asked[:, None], values, 0.0)).any((1, 2))
        cells.append(
            _judge(
                joint, rows[reached], queries.take(reached), values[reached], signs, rng,
                source=source, strategy=name, kind=kind, share=share,
                failed=int((mine & (computation == "fail")).sum()),
                z_evidence=evidence.get(name, np.nan), seconds=spent * mine.mean(),
            )
        )  # fmt: skip
    return cells


def _judge(
    joint: Joint, rows: np.ndarray, queries: QueryBatch, values: np.ndarray, signs: np.ndarray,
    rng: np.random.Generator, **about: Any,
) -> Cell:  # fmt: skip
    n, draws = values.shape[:2]
    if not n:
        blank = tuple(np.nan for _ in LEVELS)
        nothing = dict.fromkeys(("p_rank", "p_evidence", "p_density", "p_variable"), 1.0)
        return Cell(queries=0, coverage=blank, coverage_se=blank, shape=(np.nan,) * _BINS, **nothing, **about)
    ranks = rank(rows, np.moveaxis(values, 1, -1), rng)  # [n, width], meaningful where asked
    asked = queries.asked
    one = np.array([rng.choice(np.flatnonzero(a)) for a in asked])
    picked = ranks[np.arange(n), one]
    coverage, errors = _coverage(ranks, asked, draws)
    alone = [
        uniformity(ranks[asked[:, s].any(1), s.start + _first(asked[:, s])], draws)
        for s in queries.schema.slices.values()
        if asked[:, s].any()
    ]
    shape = np.histogram(picked, bins=_BINS, range=(0, draws + 1))[0] / n
    return Cell(
        queries=n,
        p_rank=uniformity(picked, draws),
        p_evidence=_evidence_ranks(ranks, queries, signs, draws),
        p_density=_density_ranks(joint, rows, values, rng),
        p_variable=min(1.0, len(alone) * min(alone)),
        coverage=coverage,
        coverage_se=errors,
        shape=tuple(shape.tolist()),
        **about,
    )


def _first(asked: np.ndarray) -> np.ndarray:
    """The first asked column of each row that asks any."""
    return asked[asked.any(1)].argmax(1)


def _coverage(ranks: np.ndarray, asked: np.ndarray, draws: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Share of truths within central intervals of LEVELS, and its standard error with rows as units."""
    position = (ranks + 0.5) / (draws + 1)
    coverage, errors = [], []
    weight = asked.sum(1)
    for level in LEVELS:
        inside = ((np.abs(position - 0.5) <= level / 2) & asked).sum(1)
        share = inside.sum() / weight.sum()
        coverage.append(float(share))
        errors.append(float(np.sqrt(((inside - share * weight) ** 2).sum()) / weight.sum()))
    return tuple(coverage), tuple(errors)


def association(rows: np.ndarray) -> np.ndarray:
    """Signed rank correlation of every two columns of draws of the joint, `[width, width]`, 0 on the diagonal."""
    from scipy.stats import rankdata

    ranked = rankdata(rows, axis=0)
    ranked -= ranked.mean(0)
    spread = np.sqrt((ranked**2).sum(0))
    out = ranked.T @ ranked / np.maximum(np.outer(spread, spread), 1e-12)
    np.fill_diagonal(out, 0.0)
    return out


def _evidence_ranks(ranks: np.ndarray, queries: QueryBatch, signs: np.ndarray, draws: int) -> float:
    """Uniformity of the ranks of the hidden column best predicted by the evidence, turned by what that predicts.

    Draws that ignore the evidence have uniform ranks too; but a truth lies above them where the evidence points up.
    A test quantity that looks at the data sees it (Modrák et al. 2023, Simulation-based calibration checking with
    choice of test quantities).
    """
    told = _told(queries)
    seen = queries.kind != NOTHING
    centre = np.array([np.median(told[g, j]) if g.any() else np.nan for j, g in enumerate(seen.T)])
    turned = []
    for q in range(len(ranks)):
        known = np.flatnonzero(seen[q] & np.isfinite(told[q]) & np.isfinite(centre))
        known = known[[queries.schema.columns[j].support.kind != "categorical" for j in known]]
        hidden = np.flatnonzero(queries.asked[q])
        if not len(known):
            continue
        table = np.abs(signs[np.ix_(hidden, known)])
        t, o = np.unravel_index(table.argmax(), table.shape)
        up = (told[q, known[o]] - centre[known[o]]) * signs[hidden[t], known[o]]
        r = ranks[q, hidden[t]]
        turned.append(r if up >= 0 else draws - r)
    return uniformity(np.array(turned, dtype=int), draws) if turned else 1.0


def _told(queries: QueryBatch) -> np.ndarray:
    """The number that each given cell points at: a value, a reading, the middle or the end of an interval."""
    ranged = queries.kind == RANGE
    low = np.where(np.isfinite(queries.a), queries.a, queries.b)
    high = np.where(np.isfinite(queries.b), queries.b, queries.a)
    return np.where(ranged, (low + high) / 2, queries.a)


def _density_ranks(joint: Joint, rows: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> float:
    """Uniformity of the rank of the whole row's log-density among those of the completed rows."""
    if not isinstance(joint.model, ScoresRows):
        return np.nan
    n, draws, width = values.shape
    known = ~np.isnan(rows)
    whole = np.concatenate([rows[:, None], values], 1).reshape(-1, width)
    observed = np.repeat(known, draws + 1, axis=0)
    like = joint.reference.values
    filled = torch.as_tensor(np.where(observed, whole, like[:1].cpu().numpy()), dtype=like.dtype, device=like.device)
    seen = torch.as_tensor(observed, device=like.device)
    batch = Batch(joint.schema, filled, seen, torch.arange(len(filled), device=like.device), len(filled))
    parts = [joint.model.score_rows(batch.take(i)) for i in batch.index.split(16_384)]
    scores = torch.cat(parts).reshape(n, draws + 1).cpu().numpy()
    scores = np.round(scores, 9)  # rounding of equal rows must not decide a rank
    return uniformity(rank(scores[:, 0], scores[:, 1:], rng), draws)


def _evidence_check(joint: Joint, queries: QueryBatch, planner: Planner, budget: int | None) -> dict[str, float]:
    """Claimed evidence of the ranges and readings alone against its mean over draws of the joint: z by strategy.

    Every draw contributes its likelihood under all queries over the claimed evidence, less one each: a sum of
    independent terms of mean zero if the claims are right.
    """
    blurred = queries.only(queries.kind != POINT)
    asks = (blurred.kind != NOTHING).any(1)
    if asks.sum() < LEAST:
        return {}
    blurred = blurred.take(asks)
    answer = planner.answer(blurred, 2, 0, budget, single=False, lenient=True)
    assert isinstance(joint.model, Draws)
    rows = joint.model.draw(_EVIDENCE_DRAWS)
    out = {}
    strategies = np.array(answer.strategy)
    for name in sorted(set(strategies)):
        total, used, variance = np.zeros(len(rows)), 0, 0.0
        for q in np.flatnonzero(strategies == name).tolist():
            claim = answer.log_evidence[q] - log_ceiling(blurred, q)
            if np.isfinite(claim) and claim > np.log(1e-3):
                total += np.exp(log_likelihood(blurred, q, rows) - claim) - 1
                used += 1
                variance += float(np.nan_to_num(answer.log_evidence_se[q])) ** 2
        if used >= LEAST // 2:
            out[name] = float(total.mean() / np.sqrt(total.var() / len(total) + variance))
    return out
