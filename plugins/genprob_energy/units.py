"""Units: the visible layer, one unit a column, independent of one another given what drives them."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.nets.heads import Heads
from genprob_energy.evidence import Evidence
from genprob_energy.truncated import draw_reading, draw_within

SUPPORTED = "binary, categorical, real, positive and interval"
_LOG_2PI = math.log(2 * math.pi)


class Units:
    """The columns of a schema as units of an exponential family, by the laws of `Heads`.

    A *point* holds one number a column: 0 or 1, a category's code, a real's encoded coordinate z. Its *features*
    `[..., heads.width]` are what couplings act on: the reals, the binaries, an indicator per level. A unit driven by
    the mean parameters `drive` is Normal(drive, scale^2), Bernoulli of logit drive, or Categorical of logits drive.

    Arguments:
        heads: the laws, whose scales are the reals' standard deviations.

    Raises `UsageError` for columns without such a unit.
    """

    def __init__(self, heads: Heads, model: str) -> None:
        self.heads, self.schema = heads, heads.schema
        if heads.counts:
            names = list(dict.fromkeys(self.schema.columns[j].name for j in heads.counts))
            which = f"variable {names[0]!r} is a count" if len(names) == 1 else f"{', '.join(names)} are counts"
            raise UsageError(
                f"{which}: {model} takes {SUPPORTED} variables; state what has few values as categorical "
                f"(--support {names[0]}=categorical, schema={{{names[0]!r}: 'categorical'}}), "
                "the rest as reals with cells of width 1 (cell(1))"
            )
        self.reals, self.binaries, self.levels = heads.reals, heads.binaries, heads.levels
        # Then features are the points themselves.
        self.plain = self.binaries == list(range(self.schema.width))

    @property
    def width(self) -> int:
        """Number of features."""
        return self.heads.width

    @cached_property
    def places(self) -> dict[int, slice]:
        """Column -> its features."""
        sizes = {j: 1 for j in (*self.reals, *self.binaries)} | self.levels
        ends = list(accumulate(sizes.values()))
        return {j: slice(end - size, end) for (j, size), end in zip(sizes.items(), ends, strict=True)}

    def points(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """The rows of a batch, `[rows, schema.width]`; cells stand at their centres."""
        if self.plain:
            return batch.values.to(dtype)
        return encoded(self.heads, batch.values).to(dtype)

    def rows(self, points: Tensor) -> np.ndarray:
        """Points as rows in data units; cells snap to their table values."""
        out = points.double()
        if self.reals:
            out = out.clone()
            encoder = self.heads.encoder
            out[..., self.reals] = encoder.snap(encoder.decode(out[..., self.reals]))
        return out.cpu().numpy()

    def features(self, points: Tensor) -> Tensor:
        """`[..., schema.width] -> [..., width]`."""
        if self.plain:
            return points
        parts = [points[..., self.reals], points[..., self.binaries]]
        parts += [one_hot(points[..., j].long(), size).to(points.dtype) for j, size in self.levels.items()]
        return torch.cat(parts, -1)

    def precision(self, dtype: torch.dtype) -> Tensor:
        """1 / scale^2 of each real, `[reals]`."""
        return self.heads.scale().to(dtype).square().reciprocal()

    def stretch(self, dtype: torch.dtype) -> Tensor | None:
        """Factor of each feature from mean parameters to natural ones, `[width]`; None where all are 1."""
        if not self.reals:
            return None
        precision = self.precision(dtype)
        return torch.cat([precision, precision.new_ones(self.width - len(self.reals))])

    def log_base(self, points: Tensor) -> Tensor:
        """The part of the log-density that no drive changes: -z^2 / (2 scale^2) summed over reals, `[...]`."""
        if not self.reals:
            return points.new_zeros(points.shape[:-1])
        return -0.5 * (points[..., self.reals].square() * self.precision(points.dtype)).sum(-1)

    def log_normaliser(self, drive: Tensor) -> Tensor:
        """log of the sum over all points of exp(natural drive . features + log_base), `[..., width] -> [...]`."""
        n, b = len(self.reals), len(self.binaries)
        out = softplus(drive[..., n : n + b]).sum(-1)
        if n:
            scale = self.heads.scale().to(drive.dtype)
            out = out + (0.5 * (drive[..., :n] / scale).square() + scale.log() + 0.5 * _LOG_2PI).sum(-1)
        start = n + b
        for size in self.levels.values():
            out = out + torch.logsumexp(drive[..., start : start + size], -1)
            start += size
        return out

    def draw(self, drive: Tensor, evidence: Evidence | None = None, now: Tensor | None = None) -> Tensor:
        """Points `[rows, schema.width]` given mean parameters `[rows, width]`, and given evidence on them.

        Readings are met by one Metropolis step from the point `now`, which leaves their law invariant.
        """
        if self.plain:
            logits = drive if evidence is None or evidence.odds is None else drive + evidence.odds
            out = torch.rand_like(drive).lt_(torch.sigmoid(logits))
        else:
            out = drive.new_empty(*drive.shape[:-1], self.schema.width)
            self._draw_reals(drive, evidence, now, out)
            n, b = len(self.reals), len(self.binaries)
            logits = drive[..., n : n + b]
            if evidence is not None and evidence.odds is not None:
                logits = logits + evidence.odds
            out[..., self.binaries] = (torch.rand_like(logits) < torch.sigmoid(logits)).to(drive.dtype)
            start = n + b
            for j, size in self.levels.items():
                scores = drive[..., start : start + size]
                if evidence is not None and evidence.likelihood is not None:
                    scores = scores + evidence.likelihood[..., start - n - b : start - n - b + size]
                waiting = torch.empty_like(scores).exponential_()  # the first of exponential clocks to ring
                out[..., j] = (scores - waiting.log()).argmax(-1).to(drive.dtype)
                start += size
        return out if evidence is None else torch.where(evidence.fixed, evidence.value, out)

    def _draw_reals(self, drive: Tensor, evidence: Evidence | None, now: Tensor | None, out: Tensor) -> None:
        if not self.reals:
            return
        loc = drive[..., : len(self.reals)]
        scale = self.heads.scale().to(loc.dtype)
        z = loc + scale * torch.randn_like(loc)
        for c, box in ({} if evidence is None else evidence.boxes).items():
            z[box.rows, c] = draw_within(loc[box.rows, c], scale[c], box.lower, box.upper)
        for c, reading in ({} if evidence is None else evidence.readings).items():
            assert now is not None
            at = now[reading.rows][..., self.reals[c]]
            z[reading.rows, c] = draw_reading(reading, self.heads.encoder.column(c), loc[reading.rows, c], scale[c], at)
        out[..., self.reals] = z


def encoded(heads: Heads, values: Tensor) -> Tensor:
    """Rows in data units as points: reals in encoded coordinates, all else as it is."""
    out = values.double()
    if heads.reals:
        out = out.clone()
        encoder = heads.encoder
        out[..., heads.reals] = encoder.encode(encoder.inside(out[..., heads.reals])).clamp(-1e3, 1e3)
    return out


def binary_states(count: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """All states of `count` binary units, `[2^count, count]`, the last changing fastest."""
    codes = torch.arange(2**count, device=device)
    shifts = torch.arange(count - 1, -1, -1, device=device)
    return ((codes[:, None] >> shifts) & 1).to(dtype)


def visible_states(schema: Schema) -> int | None:
    """Number of states of all columns together, None where some column has no finite list."""
    sizes = [v.cardinality for v in schema.columns]
    return None if None in sizes else math.prod(size or 1 for size in sizes)


def listed_states(schema: Schema, dtype: torch.dtype) -> Tensor:
    """All points of columns that have a finite list each, `[states, schema.width]`."""
    grid = torch.cartesian_prod(*(torch.arange(v.cardinality or 0, dtype=dtype) for v in schema.columns))
    return grid if grid.ndim > 1 else grid[:, None]
