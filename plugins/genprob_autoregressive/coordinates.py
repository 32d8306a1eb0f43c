"""Coordinates: reals and counts on one standardised line, each value with the cell that stands for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genprob.data.encoders import Encoder
from genprob.data.schema import Schema

FAR = 1e4
"""No cell reaches further than that, in standard deviations of the data."""
_FINEST, _COARSEST = 1e-6, 0.5
_SKEW = 1.0


class Coordinates(nn.Module):
    """The numeric columns of a schema: reals first, then counts.

    Every value stands for a cell of the line: a rounded real for its rounding cell, a count n for the values that
    round to it, a true real for a cell of its column's grain, the median gap between neighbouring values of the data.
    A true real is thus modelled as read with an error uniform over its grain: log p = log P(cell) + `log_volume` is
    a density in data units that integrates to one.

    Shapes: values `[..., columns]` float64 in data units.

    Attributes:
        columns: flat columns of the schema, reals and then counts.
        grain: `[columns]` width of a typical cell, in standard deviations.
    """

    grain: Tensor
    bent: Tensor
    loc: Tensor
    scale: Tensor
    reach: Tensor
    celled: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.encoder = Encoder(schema)
        counts = [j for j, v in enumerate(schema.columns) if v.is_count]
        self.reals = len(self.encoder.columns)
        self.columns = [*self.encoder.columns, *counts]
        self.register_buffer("celled", torch.tensor([c is not None for c in self.encoder.cells], dtype=torch.bool))
        self.register_buffer("grain", torch.full((len(self.columns),), 0.01, dtype=torch.float64))
        self.register_buffer("bent", torch.zeros(len(counts), dtype=torch.bool))
        self.register_buffer("loc", torch.zeros(len(counts), dtype=torch.float64))
        self.register_buffer("scale", torch.ones(len(counts), dtype=torch.float64))
        self.register_buffer("reach", self.encoder.delta / 2)

    def __len__(self) -> int:
        return len(self.columns)

    def fit(self, values: Tensor, observed: Tensor) -> None:
        """Sets statistics from `[rows, columns]` where `observed`; counts are bent by log(1 + n) if that unskews."""
        r = self.reals
        self.encoder.fit(self.encoder.inside(values[:, :r]), observed[:, :r])
        for c in range(len(self) - r):
            seen = values[observed[:, r + c], r + c]
            self.bent[c] = bool(_skewness(seen) > _SKEW and _skewness(torch.log1p(seen)).abs() < _skewness(seen))
            at = torch.log1p(seen) if self.bent[c] else seen
            spread = float(at.std(unbiased=False)) if len(at) else 0.0
            self.loc[c], self.scale[c] = at.mean() if len(at) else 0.0, spread if spread > 1e-10 else 1.0
        lo, hi = self.edges(values)
        y = self.encode(values)
        for c in range(len(self)):
            seen = observed[:, c]
            if c < r and not self.celled[c]:
                gaps = torch.unique(y[seen, c]).diff()
            else:
                gaps = (hi - lo)[seen, c]
                gaps = gaps[gaps < 2 * FAR / 3]
            grain = float(gaps.median()) if len(gaps) else 1e-3
            self.grain[c] = min(max(grain, _FINEST), _COARSEST) if c < r and not self.celled[c] else grain

    def encode(self, x: Tensor) -> Tensor:
        """Standardised coordinates."""
        r = self.reals
        y = self.encoder.encode(self.encoder.inside(x[..., :r]))
        return torch.cat([y, self._count(x[..., r:])], -1) if r < len(self) else y

    def edges(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the cell of each value, within `FAR`; what lies beyond has the last cell there."""
        r = self.reals
        given = x[..., :r]
        inner = self.encoder.encode(self.encoder.inside(given))
        lo, hi = inner - self.grain[:r] / 2, inner + self.grain[:r] / 2
        if bool(self.celled.any()):
            lo = torch.where(self.celled, self.encoder.encode(given - self.reach), lo)
            hi = torch.where(self.celled, self.encoder.encode(given + self.reach), hi)
        if r < len(self):
            n = x[..., r:]
            below = torch.where(n > 0, self._count(n - 0.5), -FAR)
            above = torch.where(n >= 0, self._count(n + 0.5), -FAR)
            lo, hi = torch.cat([lo, below], -1), torch.cat([hi, above], -1)
        return lo.clamp(-FAR, FAR - 1), hi.clamp(1 - FAR, FAR)

    def log_volume(self, x: Tensor) -> Tensor:
        """What turns log P(cell) into the log-probability of the variable's measure: 0 for cells and counts."""
        r = self.reals
        out = torch.zeros_like(x)
        density = self.encoder.log_jacobian(self.encoder.inside(x[..., :r])) - torch.log(self.grain[:r])
        out[..., :r] = torch.where(self.celled, 0.0, density)
        return out

    def decode(self, c: int, y: Tensor) -> Tensor:
        """Data-unit values of one column, of any shape, on cells the exact table value."""
        if c < self.reals:
            return self.encoder.snap_column(c, self.encoder.decode_column(c, y))
        c -= self.reals
        raw = y * self.scale[c] + self.loc[c]
        return torch.round(torch.expm1(raw.clamp(max=36.0)) if self.bent[c] else raw).clamp(min=0.0)

    def place(self, c: int, x: Tensor) -> Tensor:
        """`encode` of one column without regard to cells, of any shape; ends of ranges may lie outside the support."""
        if c < self.reals:
            return self.encoder.encode_column(c, x).clamp(-FAR, FAR)
        c -= self.reals
        at = torch.log1p(x.clamp(min=-1.0)) if self.bent[c] else x
        return ((at - self.loc[c]) / self.scale[c]).clamp(-FAR, FAR)

    def step(self, c: int) -> float | None:
        """Distance between neighbouring values of one column, None for true reals."""
        if c >= self.reals:
            return 1.0
        cell = self.encoder.cells[c]
        return None if cell is None else cell.delta

    def snap(self, c: int, x: Tensor) -> Tensor:
        """The values of a stepped column nearest to `x`, of any shape; counts may come out negative."""
        return self.encoder.snap_column(c, x) if c < self.reals else torch.round(x)

    def _count(self, n: Tensor) -> Tensor:
        at = torch.where(self.bent, torch.log1p(n.clamp(min=-0.5)), n)
        return (at - self.loc) / self.scale


def _skewness(x: Tensor) -> Tensor:
    if len(x) < 3:
        return torch.zeros((), dtype=torch.float64)
    centred = x - x.mean()
    return (centred**3).mean() / (centred.square().mean() ** 1.5).clamp(min=1e-12)
