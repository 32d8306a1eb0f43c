"""The law of a number: a slab of logistics and atoms, on a line cut into cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from genprob.query.batch import NOISY, POINT, RANGE, SET, QueryBatch
from genprob.query.capabilities import Met
from genprob.results.record import QUANTILES, Marginal
from genprob_autoregressive.coordinates import FAR, Coordinates
from genprob_autoregressive.laws import Shares, _marginal, averaged, pick, shares
from genprob_autoregressive.logistics import draw_between, log_mass

_REACH, _BINS = 6.0, 64
"""A noisy reading is cut into so many bins within so many of its standard deviations, and two tails."""
_NODES = torch.arange(-16.0, 17.0, dtype=torch.float64)
"""Log-odds at which a logistic is integrated: the trapezium rule is exact to 1e-8 here."""
_SHARES = torch.sigmoid(_NODES) * torch.sigmoid(-_NODES)
_BISECTIONS = 28
_CELLS = 400
_LOG_ROOT = 0.5 * math.log(2 * math.pi)
_FLOATS = 8_000_000


@dataclass(frozen=True, eq=False)
class SlabLaw:
    """Laws of one numeric column.

    Attributes:
        coordinates: where the column lives; `c` is its position there, `column` its flat column.
        weight, loc, scale: `[n, K]` log-weights and parameters of the logistics; the weights hold the slab's share.
        atom_weight: `[n, A]` log-probabilities of the atoms.
        value, place: `[A]` the atoms in data units and in coordinates.
    """

    coordinates: Coordinates
    c: int
    column: int
    weight: Tensor
    loc: Tensor
    scale: Tensor
    atom_weight: Tensor
    value: Tensor
    place: Tensor

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, index: Tensor) -> SlabLaw:
        return replace(
            self,
            weight=self.weight[index],
            loc=self.loc[index],
            scale=self.scale[index],
            atom_weight=self.atom_weight[index],
        )

    def log_prob(self, values: Tensor) -> Tensor:
        lo, hi = self._cell(values)
        slab = torch.logsumexp(self.weight + log_mass(lo[:, None], hi[:, None], self.loc, self.scale), 1)
        held = torch.where(values[:, None] == self.value, self.atom_weight, -torch.inf)
        held = held.amax(1) if held.shape[1] else torch.full_like(slab, -torch.inf)
        return torch.logaddexp(slab, held) + self._log_volume(values)

    def draw(self, index: Tensor | None = None) -> Tensor:
        k = self.weight.shape[1]
        row = torch.arange(len(self), device=self.weight.device) if index is None else index
        chosen = pick(torch.cat([self.weight, self.atom_weight], 1), index)
        part = chosen.clamp(max=k - 1)
        u = torch.rand(len(row), dtype=torch.float64, device=row.device).clamp(1e-12, 1 - 1e-12)
        return self._settled(self.loc[row, part] + self.scale[row, part] * torch.logit(u), chosen - k)

    def _settled(self, y: Tensor, atom: Tensor) -> Tensor:
        """Data-unit values of coordinates, or of the atom where its index is not negative."""
        x = self.coordinates.decode(self.c, y.clamp(-FAR, FAR))
        return torch.where(atom >= 0, self.value[atom.clamp(min=0)], x) if len(self.value) else x

    def _row(self, values: Tensor) -> Tensor:
        """Values of the column in a row of the coordinates, the others anything."""
        feasible = torch.ones(len(values), len(self.coordinates), dtype=values.dtype, device=values.device)
        feasible[:, self.c] = values
        return feasible

    def _cell(self, values: Tensor) -> tuple[Tensor, Tensor]:
        lo, hi = self.coordinates.edges(self._row(values))
        return lo[:, self.c], hi[:, self.c]

    def _log_volume(self, values: Tensor) -> Tensor:
        return self.coordinates.log_volume(self._row(values))[:, self.c]

    # --- under evidence

    def meet(self, queries: QueryBatch) -> Met:
        device = self.weight.device
        kind = torch.as_tensor(queries.kind[:, self.column], device=device)
        a, b = (torch.as_tensor(np.nan_to_num(x[:, self.column]), device=device) for x in (queries.a, queries.b))
        n = len(self)
        log_mass_, values, log_weight = (torch.zeros(n, dtype=torch.float64, device=device) for _ in range(3))
        for which, answer in ((POINT, self._at_point), (RANGE, self._in_range), (SET, self._in_set),
                              (NOISY, self._near_reading)):  # fmt: skip
            at = torch.nonzero(kind == which)[:, 0]
            if len(at):
                sets = queries.sets.get(self.column)
                told = torch.as_tensor(sets, device=device)[at] if sets is not None else None
                log_mass_[at], values[at], log_weight[at] = answer(self.take(at), a[at], b[at], told)
        return Met(log_mass_, values, log_weight)

    @staticmethod
    def _at_point(law: SlabLaw, a: Tensor, b: Tensor, members: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return law.log_prob(a), a, torch.zeros_like(a)

    @staticmethod
    def _in_range(law: SlabLaw, a: Tensor, b: Tensor, members: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        lo, hi, inside = law._span(a, b)
        mass, values = law._among(lo[:, None], hi[:, None], torch.zeros_like(lo)[:, None], inside[:, None])
        return mass, values, torch.zeros_like(mass)

    @staticmethod
    def _in_set(law: SlabLaw, a: Tensor, b: Tensor, members: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert members is not None
        blank = torch.isnan(members)
        x = torch.where(blank, 1.0, members)
        lo, hi = (e.reshape(x.shape) for e in law._cell(x.reshape(-1)))
        inside = (x[..., None] == law.value) & ~blank[..., None]
        mass, values = law._among(lo, hi, torch.where(blank, -torch.inf, 0.0), inside)
        return mass, values, torch.zeros_like(mass)

    @staticmethod
    def _near_reading(law: SlabLaw, a: Tensor, b: Tensor, members: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Bins over the reading, weighed by the likelihood at their middles; draws are weighed by what that misses.

        Cells and counts that are few enough are taken one by one, and nothing is missed.
        """
        step = law.coordinates.step(law.c)
        if step is not None and float((2 * _REACH * b / step).max()) < _CELLS:
            first = law.coordinates.snap(law.c, a - _REACH * b)
            count = int((2 * _REACH * b / step).max()) + 2
            x = law.coordinates.snap(law.c, first[:, None] + step * torch.arange(count, dtype=a.dtype, device=a.device))
            lo, hi = (e.reshape(x.shape) for e in law._cell(x.reshape(-1)))
            likelihood = -0.5 * ((x - a[:, None]) / b[:, None]).square() - torch.log(b[:, None]) - _LOG_ROOT
            mass, values = law._among(lo, hi, likelihood, x[..., None] == law.value)
            return mass, values, torch.zeros_like(mass)
        ends = torch.linspace(-_REACH, _REACH, _BINS + 1, dtype=torch.float64, device=a.device)
        x = a[:, None] + b[:, None] * ends
        y = law.coordinates.place(law.c, x)
        far = torch.full_like(y[:, :1], FAR)
        y = torch.cat([-far, y, far], 1).clamp(-FAR, FAR)
        middle = torch.cat([ends[:1], (ends[1:] + ends[:-1]) / 2, ends[-1:]])
        log_likelihood = -0.5 * middle.square() - torch.log(b[:, None]) - _LOG_ROOT
        outer = torch.cat([torch.full_like(far, -torch.inf), x, torch.full_like(far, torch.inf)], 1)
        inside = (law.value > outer[:, :-1, None]) & (law.value <= outer[:, 1:, None]) & torch.isfinite(law.value)
        mass, values, bins = law._chosen(y[:, :-1], y[:, 1:], log_likelihood, inside)
        true = -0.5 * ((values - a) / b).square() - torch.log(b) - _LOG_ROOT
        return mass, values, true - log_likelihood.gather(1, bins[:, None])[:, 0]

    def _span(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates of the ends of `[a, b]`, for cells and counts of the cells inside; and which atoms lie within."""
        c, coordinates = self.c, self.coordinates
        cell = coordinates.encoder.cells[c] if c < coordinates.reals else None
        if cell is not None:
            finite = [torch.nan_to_num(e, posinf=1e300, neginf=-1e300).cpu().numpy() for e in (a, b)]
            low, high = (torch.as_tensor(e, device=a.device) for e in cell.span(*finite))
            a, b = torch.where(torch.isinf(a), a, low), torch.where(torch.isinf(b), b, high)
        elif c >= coordinates.reals:
            a, b = torch.ceil(a) - 0.5, torch.floor(b) + 0.5
            a = torch.where(a < 0, -torch.inf, a)
        inside = (self.value >= a[:, None]) & (self.value <= b[:, None]) & torch.isfinite(self.value)
        lo, hi = (coordinates.place(c, e) for e in (a, b))
        lo = torch.where(torch.isinf(a) & (a < 0), -FAR, lo)
        return lo, torch.where(torch.isinf(b) & (b > 0), FAR, hi), inside

    def _among(self, lo: Tensor, hi: Tensor, log_weight: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        mass, values, _ = self._chosen(lo, hi, log_weight, inside)
        return mass, values

    def _chosen(self, lo: Tensor, hi: Tensor, log_weight: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mass, a draw, and its interval, of the law times a weighted sum of intervals.

        Arguments:
            lo, hi, log_weight: `[n, M]`; weights of -inf switch an interval off.
            inside: `[n, M, A]` which atoms lie in which interval.
        """
        n, m = lo.shape
        k, atoms = self.weight.shape[1], self.atom_weight.shape[1]
        masses, values, bins = [], [], []
        for rows in torch.arange(n, device=lo.device).split(max(1, _FLOATS // (m * (k + atoms)))):
            law, low, high = self.take(rows), lo[rows], hi[rows]
            slab = law.weight[:, None] + log_mass(low[..., None], high[..., None], law.loc[:, None], law.scale[:, None])
            held = torch.where(inside[rows], law.atom_weight[:, None], -torch.inf)
            part = torch.cat([slab, held], 2) + log_weight[rows][..., None]
            part = part.nan_to_num(nan=-torch.inf, neginf=-torch.inf, posinf=-torch.inf).flatten(1)
            masses.append(torch.logsumexp(part, 1))
            chosen = pick(part)
            bin_, which = chosen // (k + atoms), chosen % (k + atoms)
            at, component = bin_[:, None], which.clamp(max=k - 1)[:, None]
            y = draw_between(
                low.gather(1, at)[:, 0], high.gather(1, at)[:, 0],
                law.loc.gather(1, component)[:, 0], law.scale.gather(1, component)[:, 0],
            )  # fmt: skip
            values.append(law._settled(y, which - k))
            bins.append(bin_)
        return torch.cat(masses), torch.cat(values), torch.cat(bins)

    # --- summed up

    def marginal(self, queries: int, log_weight: Tensor | None = None) -> Marginal:
        n, share = len(self), shares(queries, len(self), log_weight, self.weight.device)
        step = max(1, _FLOATS // max(1, n // queries * self.weight.shape[1] * len(_NODES)))
        rows = torch.arange(n, device=self.weight.device).reshape(queries, -1)
        parts = [
            self._marginal(part, Shares(of, share.drawn))
            for part, of in zip(rows.split(step), share.of.split(step), strict=True)
        ]
        return _marginal(*(torch.cat(piece) for piece in zip(*parts, strict=True)))

    def _marginal(self, rows: Tensor, share: Shares) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean, sd, error of the mean and quantiles of the averages over `rows [queries, contexts]`."""
        law, shape = self.take(rows.reshape(-1)), rows.shape
        nodes, parts = _NODES.to(self.weight.device), _SHARES.to(self.weight.device)
        x = self.coordinates.decode(self.c, (law.loc[..., None] + law.scale[..., None] * nodes).clamp(-FAR, FAR))
        weight, held = law.weight.exp(), law.atom_weight.exp()
        value = torch.where(torch.isfinite(self.value), self.value, 0.0)
        total = (weight[..., None] * parts).sum((1, 2)) + held.sum(1)
        first = ((weight[..., None] * parts * x).sum((1, 2)) + held @ value) / total
        mean, error = averaged(first.reshape(shape), share)
        centre = mean.repeat_interleave(shape[1])
        spread = (weight[..., None] * parts * (x - centre[:, None, None]).square()).sum((1, 2))
        spread = (spread + (held * (value - centre[:, None]).square()).sum(1)) / total
        variance, _ = averaged(spread.reshape(shape), share)
        flat = replace(
            law,
            weight=(law.weight + torch.log(share.of).reshape(-1, 1)).reshape(shape[0], -1),
            loc=law.loc.reshape(shape[0], -1),
            scale=law.scale.reshape(shape[0], -1),
            atom_weight=torch.log(averaged(held.reshape(*shape, held.shape[1]), share)[0]),
        )
        return mean, variance.clamp(min=0).sqrt(), error, flat._quantiles()

    def _quantiles(self) -> Tensor:
        """`[n, 7]` by bisection on the CDF; at a jump the atom itself."""
        levels = torch.tensor(QUANTILES, dtype=torch.float64, device=self.weight.device)
        weight, held = self.weight.exp(), self.atom_weight.exp()
        lo = (self.loc - 16 * self.scale).amin(1).clamp(-FAR, FAR)
        hi = (self.loc + 16 * self.scale).amax(1).clamp(-FAR, FAR)
        known = torch.isfinite(self.value)
        if bool(known.any()):
            lo = torch.minimum(lo, self.place[known].min() - 1e-6)
            hi = torch.maximum(hi, self.place[known].max() + 1e-6)
        lo, hi = (e[:, None].repeat(1, len(levels)) for e in (lo, hi))
        place, order = torch.where(known, self.place, torch.inf).sort()
        jumps = nn.functional.pad(held[:, order].cumsum(1), (1, 0))
        loc, scale, share = self.loc[:, None], self.scale[:, None], weight[:, None].float()
        for _ in range(_BISECTIONS):
            middle = (lo + hi) / 2
            # Probabilities need seven digits; places need all of them, for spikes are narrow.
            slab = (share * torch.sigmoid(((middle[..., None] - loc) / scale).float())).sum(-1)
            under = slab + jumps.gather(1, torch.searchsorted(place, middle, right=True)) < levels
            lo, hi = torch.where(under, middle, lo), torch.where(under, hi, middle)
        x = self.coordinates.decode(self.c, hi)
        for a in torch.nonzero(known)[:, 0].tolist():
            x = torch.where((lo < self.place[a]) & (self.place[a] <= hi), self.value[a], x)
        return x
