"""Encoders: data units to the real line and back, with exact log-Jacobians and transformed cell edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from genprob.data.schema import Schema
from genprob.data.support import Interval, Positive
from genprob.errors import UsageError

TRANSFORMS = ("support", "yeo-johnson")
_HUGE = 1e300


class Encoder(nn.Module):
    """Maps the real-valued columns of a schema to standardised coordinates, column by column.

    A real is standardised, a positive goes through the log first, an interval through the logit; `"yeo-johnson"`
    then straightens what is left of skewness (Yeo and Johnson 2000, A new family of power transformations to improve
    normality or symmetry), its exponent by maximum likelihood within [0, 2], where its range is the whole line.
    All maps increase. Statistics are buffers, so that they travel with the model's checkpoint.

    Shapes: methods take and return `[..., columns]` float64, the schema's real columns in order.

    Arguments:
        schema: the modelled variables.
        transform: `"support"` or `"yeo-johnson"`.
    """

    lower: Tensor
    upper: Tensor
    delta: Tensor
    loc: Tensor
    scale: Tensor
    exponent: Tensor
    shift: Tensor
    stretch: Tensor

    def __init__(self, schema: Schema, *, transform: str = "support") -> None:
        super().__init__()
        if transform not in TRANSFORMS:
            raise UsageError(f"transform {transform!r} is not one of: {', '.join(TRANSFORMS)}")
        self.columns = [j for j, v in enumerate(schema.columns) if not v.discrete]
        variables = [schema.columns[j] for j in self.columns]
        self.power = transform == "yeo-johnson"
        self.cells = [v.cell for v in variables]
        self.positive = [c for c, v in enumerate(variables) if isinstance(v.support, Positive)]
        self.bounded = [c for c, v in enumerate(variables) if isinstance(v.support, Interval)]
        n = len(variables)
        ends = [(v.support.lo, v.support.hi) if isinstance(v.support, Interval) else (0.0, 1.0) for v in variables]
        for name, value in {
            "lower": torch.tensor([e[0] for e in ends], dtype=torch.float64),
            "upper": torch.tensor([e[1] for e in ends], dtype=torch.float64),
            "delta": torch.tensor([c.delta if c else 0.0 for c in self.cells], dtype=torch.float64),
            "loc": torch.zeros(n, dtype=torch.float64),
            "scale": torch.ones(n, dtype=torch.float64),
            "exponent": torch.ones(n, dtype=torch.float64),
            "shift": torch.zeros(n, dtype=torch.float64),
            "stretch": torch.ones(n, dtype=torch.float64),
        }.items():
            self.register_buffer(name, value)

    def __len__(self) -> int:
        return len(self.columns)

    def fit(self, values: Tensor, observed: Tensor) -> None:
        """Sets all statistics from `[rows, columns]` values where `observed`; a constant column keeps its spread 1."""
        from scipy.stats import yeojohnson_normmax

        raw = self._raw(values)
        for c in range(len(self)):
            column = raw[observed[:, c], c]
            column = column[torch.isfinite(column)]
            self.loc[c], self.scale[c] = _moments(column)
            if self.power and column.unique().numel() > 2:
                standard = (column - self.loc[c]) / self.scale[c]
                self.exponent[c] = float(np.clip(yeojohnson_normmax(standard.cpu().numpy()), 0.0, 2.0))
                self.shift[c], self.stretch[c] = _moments(_power(standard, self.exponent[c]))

    def _raw(self, x: Tensor) -> Tensor:
        if not self.positive and not self.bounded:
            return x
        out = x.clone()
        if self.positive:
            out[..., self.positive] = torch.log(x[..., self.positive].clamp(min=0))
        if self.bounded:
            b = self.bounded
            share = ((x[..., b] - self.lower[b]) / (self.upper[b] - self.lower[b])).clamp(0, 1)
            out[..., b] = torch.log(share) - torch.log1p(-share)
        return out

    def encode(self, x: Tensor) -> Tensor:
        """Data units to standardised coordinates."""
        z = (self._raw(x) - self.loc) / self.scale
        return (_power(z, self.exponent) - self.shift) / self.stretch if self.power else z

    def decode(self, z: Tensor) -> Tensor:
        """Standardised coordinates to data units; never outside the support."""
        if self.power:
            z = _unpower(z * self.stretch + self.shift, self.exponent)
        raw = (z * self.scale + self.loc).clamp(-_HUGE, _HUGE)
        if not self.positive and not self.bounded:
            return raw
        out = raw.clone()
        if self.positive:
            out[..., self.positive] = torch.exp(raw[..., self.positive]).clamp(1 / _HUGE, _HUGE)
        if self.bounded:
            b = self.bounded
            lo, hi = self.lower[b], self.upper[b]
            inside = lo + (hi - lo) * torch.sigmoid(raw[..., b])
            out[..., b] = inside.clamp(torch.nextafter(lo, hi), torch.nextafter(hi, lo))
        return out

    def inside(self, x: Tensor) -> Tensor:
        """Cell values on the edge of their support (a price of 0) moved to the middle of what the support keeps."""
        if not (any(self.cells) and (self.positive or self.bounded)):
            return x
        out = x.clone()
        for c in [*self.positive, *self.bounded]:
            if self.cells[c] is not None:
                lo, quarter = self.lower[c] if c in self.bounded else 0.0, self.delta[c] / 4
                out[..., c] = torch.clamp(x[..., c], min=lo + quarter)
                if c in self.bounded:
                    out[..., c] = torch.clamp(out[..., c], max=float(self.upper[c] - quarter))
        return out

    def column(self, c: int) -> Encoder:
        """The encoder of one real column by itself; it shares the statistics as they stand."""
        return self.part(c, c + 1)

    def part(self, first: int, last: int) -> Encoder:
        """The encoder of the real columns `first` to `last - 1` by themselves; it shares the statistics."""
        part = Encoder.__new__(Encoder)
        nn.Module.__init__(part)
        part.columns, part.cells, part.power = self.columns[first:last], self.cells[first:last], self.power
        part.positive = [c - first for c in self.positive if first <= c < last]
        part.bounded = [c - first for c in self.bounded if first <= c < last]
        for name, buffer in self.named_buffers():
            part.register_buffer(name, buffer[first:last])
        return part

    def encode_column(self, c: int, x: Tensor) -> Tensor:
        """`encode` of one column, any shape."""
        return self.column(c).encode(x[..., None])[..., 0]

    def decode_column(self, c: int, z: Tensor) -> Tensor:
        """`decode` of one column, any shape."""
        return self.column(c).decode(z[..., None])[..., 0]

    def snap_column(self, c: int, x: Tensor) -> Tensor:
        """`snap` of one column, any shape."""
        return self.column(c).snap(x[..., None])[..., 0]

    def nearest_inside(self, c: int, x: Tensor, margin: Tensor | float = 0.0) -> Tensor:
        """The value of the support nearest to `x`, `margin` a scale on which "just inside" is measured."""
        gap = torch.as_tensor(margin, dtype=x.dtype) / 10
        if c in self.positive:
            return torch.maximum(x, gap.clamp(min=1e-12).expand_as(x))
        if c in self.bounded:
            gap = torch.minimum(gap, (self.upper[c] - self.lower[c]) / 100).clamp(min=1e-12).expand_as(x)
            return torch.minimum(torch.maximum(x, self.lower[c] + gap), self.upper[c] - gap)
        return x

    def log_jacobian(self, x: Tensor) -> Tensor:
        """log |dz / dx| of each column at data-unit values `x`."""
        out = (-torch.log(self.scale)).expand(x.shape).clone()
        if self.positive:
            out[..., self.positive] -= torch.log(x[..., self.positive])
        if self.bounded:
            b = self.bounded
            lo, hi = self.lower[b], self.upper[b]
            out[..., b] += torch.log(hi - lo) - torch.log(x[..., b] - lo) - torch.log(hi - x[..., b])
        if self.power:
            z = (self._raw(x) - self.loc) / self.scale
            out = out + (self.exponent - 1) * torch.sign(z) * torch.log1p(z.abs()) - torch.log(self.stretch)
        return out

    def log_slope(self, x: Tensor) -> Tensor:
        """`log_jacobian`, and of a cell column its cell's log-width with it.

        What makes of a density at z one in data units, or the probability of a cell that stands at its centre.
        """
        return self.log_jacobian(x) + torch.where(self.delta > 0, self.delta.clamp(min=1e-300).log(), 0.0)

    def snap(self, x: Tensor) -> Tensor:
        """Data-unit values with every cell column moved to its exact table value."""
        if not any(self.cells):
            return x
        out = x.clone()
        for c, cell in enumerate(self.cells):
            if cell is not None:
                out[..., c] = torch.as_tensor(cell.snap(x[..., c].cpu().numpy()), device=x.device)
        return out

    def edges(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded lower and upper edge of each value's cell (cut at the support's ends); equal where no cell."""
        lo, hi = x.clone(), x.clone()
        for c, cell in enumerate(self.cells):
            if cell is not None:
                below, above = cell.edges(x[..., c].cpu().numpy())
                lo[..., c] = torch.as_tensor(below, device=x.device)
                hi[..., c] = torch.as_tensor(above, device=x.device)
        return self.encode(lo), self.encode(hi)


def _moments(column: Tensor) -> tuple[float, float]:
    if not column.numel():
        return 0.0, 1.0
    loc, spread = float(column.mean()), float(column.std(unbiased=False))
    return loc, spread if spread > 1e-10 * max(1.0, abs(loc)) else max(1.0, abs(loc))


def _power(z: Tensor, exponent: Tensor) -> Tensor:
    """Yeo-Johnson: ((1+z)^e - 1)/e for z >= 0, -((1-z)^(2-e) - 1)/(2-e) below; logs in the limits."""
    e = torch.where(z >= 0, exponent, 2 - exponent)
    grown = torch.log1p(z.abs())
    return torch.sign(z) * torch.where(e.abs() < 1e-8, grown, torch.expm1(e * grown) / e.clamp(min=1e-8))


def _unpower(y: Tensor, exponent: Tensor) -> Tensor:
    e = torch.where(y >= 0, exponent, 2 - exponent)
    size = y.abs()
    return torch.sign(y) * torch.expm1(torch.where(e.abs() < 1e-8, size, torch.log1p(e * size) / e.clamp(min=1e-8)))
