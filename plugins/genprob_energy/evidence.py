"""Evidence on units: what a query, or a row with holes and cells, says of each, in the space of points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.nets.heads import Heads
from genprob.query.batch import NOISY, POINT, RANGE, SET, QueryBatch


@dataclass(frozen=True, eq=False)
class Box:
    """Intervals `[n, m]` in encoded coordinates that one real lies in, for the rows `rows [n]`; empty ones pad."""

    rows: Tensor
    lower: Tensor
    upper: Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """Noisy readings `value [n]` in data units with standard deviations `sd [n]`, for the rows `rows [n]`."""

    rows: Tensor
    value: Tensor
    sd: Tensor


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of R rows.

    Attributes:
        fixed, value: `[R, schema.width]` which columns are given to a point, and to which.
        odds: `[R, binaries]` log-likelihood ratio of 1 against 0, or None.
        likelihood: `[R, levels]` log-likelihood of every level, or None.
        boxes: real -> where it lies.
        readings: real -> what was read of it.
    """

    fixed: Tensor
    value: Tensor
    odds: Tensor | None = None
    likelihood: Tensor | None = None
    boxes: dict[int, Box] = field(default_factory=dict)
    readings: dict[int, Reading] = field(default_factory=dict)

    def hold(self, points: Tensor, reals: list[int]) -> Tensor:
        """Points moved to where the evidence allows: known columns set, reals put into their boxes."""
        out = torch.where(self.fixed, self.value, points)
        for c, box in self.boxes.items():
            z = out[box.rows, reals[c]]
            near = torch.minimum(torch.maximum(z[:, None], box.lower), box.upper)
            near = torch.where(box.lower < box.upper, near, torch.inf)
            out[box.rows, reals[c]] = near.gather(1, (near - z[:, None]).abs().argmin(1, keepdim=True))[:, 0]
        return out

    def repeat(self, copies: int) -> Evidence:
        """Each row `copies` times over, one after the other."""

        def spread(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.repeat_interleave(copies, 0)

        def rows(of: Tensor) -> Tensor:
            return (of[:, None] * copies + torch.arange(copies, device=of.device)).reshape(-1)

        boxes = {
            c: Box(rows(b.rows), b.lower.repeat_interleave(copies, 0), b.upper.repeat_interleave(copies, 0))
            for c, b in self.boxes.items()
        }
        readings = {
            c: Reading(rows(r.rows), r.value.repeat_interleave(copies), r.sd.repeat_interleave(copies))
            for c, r in self.readings.items()
        }
        fixed, value = self.fixed.repeat_interleave(copies, 0), self.value.repeat_interleave(copies, 0)
        return Evidence(fixed, value, spread(self.odds), spread(self.likelihood), boxes, readings)


def of_rows(heads: Heads, batch: Batch, points: Tensor) -> Evidence:
    """What rows of data say: a known column is given, a known cell is an interval."""
    fixed, boxes = batch.observed.clone(), {}
    for c, j in enumerate(heads.reals):
        cell = heads.encoder.cells[c]
        if cell is not None:
            rows = batch.observed[:, j].nonzero()[:, 0]
            boxes[c] = _edges(heads, c, rows, batch.values[rows, j].double().cpu().numpy(), points.dtype)
            fixed[:, j] = False
    return Evidence(fixed, points, boxes=boxes)


def of_queries(heads: Heads, queries: QueryBatch, dtype: torch.dtype, device: torch.device) -> Evidence:
    """What queries say; evidence that is impossible for one column alone was refused before."""
    schema, kind = queries.schema, queries.kind
    point = kind == POINT
    for c, j in enumerate(heads.reals):
        if heads.encoder.cells[c] is not None:
            point[:, j] = False
    given = torch.as_tensor(np.where(point, np.nan_to_num(queries.a), 1.0), device=device)
    value = given
    if heads.reals:
        encoder = heads.encoder
        value = given.clone()
        value[:, heads.reals] = encoder.encode(encoder.inside(given[:, heads.reals]))
    weights = {
        j: torch.as_tensor(np.log(np.maximum(w, 1e-300)), dtype=dtype, device=device)
        for j, w in queries.likelihoods.items()
    }
    odds = likelihood = None
    if any(j in weights for j in heads.binaries):
        zero = torch.zeros(len(queries), dtype=dtype, device=device)
        odds = torch.stack([weights[j][:, 1] - weights[j][:, 0] if j in weights else zero for j in heads.binaries], 1)
    if any(j in weights for j in heads.levels):
        parts = [
            weights[j] if j in weights else torch.zeros(len(queries), size, dtype=dtype, device=device)
            for j, size in heads.levels.items()
        ]
        likelihood = torch.cat(parts, 1)
    boxes, readings = {}, {}
    for c, j in enumerate(heads.reals):
        box = _box(heads, c, queries, schema.columns[j].cell, dtype, device)
        if box is not None:
            boxes[c] = box
        rows = np.flatnonzero(kind[:, j] == NOISY)
        if len(rows):
            a, b = (torch.as_tensor(x[rows, j], dtype=dtype, device=device) for x in (queries.a, queries.b))
            readings[c] = Reading(torch.as_tensor(rows, device=device), a, b)
    return Evidence(torch.as_tensor(point, device=device), value.to(dtype), odds, likelihood, boxes, readings)


def _box(
    heads: Heads, c: int, queries: QueryBatch, cell: object, dtype: torch.dtype, device: torch.device
) -> Box | None:
    j = heads.reals[c]
    kind = queries.kind[:, j]
    boxed = (kind == RANGE) | ((np.isin(kind, (POINT, SET))) & (cell is not None))
    rows = np.flatnonzero(boxed)
    if not len(rows):
        return None
    members = max(1, queries.sets[j].shape[1] if j in queries.sets else 1)
    lower, upper = np.full((len(rows), members), np.inf), np.full((len(rows), members), -np.inf)
    own = heads.encoder.cells[c]
    for at, q in enumerate(rows):
        a, b = queries.a[q, j], queries.b[q, j]
        if kind[q] == RANGE:
            lower[at, 0], upper[at, 0] = (a, b) if own is None else own.span(a, b)
        else:
            assert own is not None
            values = queries.sets[j][q] if kind[q] == SET else np.array([a])
            values = values[~np.isnan(values)]
            lower[at, : len(values)], upper[at, : len(values)] = own.edges(values)
    encoder = heads.encoder.column(c)
    ends = []
    for end in (lower, upper):
        z = encoder.encode(torch.as_tensor(end)[..., None])[..., 0]
        ends.append(torch.where(torch.as_tensor(lower < upper), z, torch.as_tensor(end)).to(dtype).to(device))
    return Box(torch.as_tensor(rows, device=device), ends[0], ends[1])


def _edges(heads: Heads, c: int, rows: Tensor, values: np.ndarray, dtype: torch.dtype) -> Box:
    cell = heads.encoder.cells[c]
    assert cell is not None
    encoder = heads.encoder.column(c)
    lower, upper = (
        encoder.encode(torch.as_tensor(edge, device=rows.device)[:, None]).to(dtype) for edge in cell.edges(values)
    )
    return Box(rows, lower, upper)
