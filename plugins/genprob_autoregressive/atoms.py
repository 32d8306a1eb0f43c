"""Atoms: the values that many rows share, which have a probability of their own beside the slab."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARE, MOST, FEWEST = 0.01, 40, 4
"""A value is an atom if it is held by this share of the known rows, and by so many; the commonest are kept."""
_FAR = 60.0


class Atoms(nn.Module):
    """Up to `MOST` exact values of each numeric column.

    Attributes:
        value: `[columns, width]` data units, infinite where a column has fewer atoms than the widest.
        place: `[columns, width]` their coordinates.
        log_frequency: `[columns, width]`, -inf at blanks.
        log_rest: `[columns]` log share of the rows that hold no atom.
    """

    value: Tensor
    place: Tensor
    log_frequency: Tensor
    log_rest: Tensor

    def __init__(self, columns: int, width: int = 0) -> None:
        super().__init__()
        self.register_buffer("value", torch.full((columns, width), torch.inf, dtype=torch.float64))
        self.register_buffer("place", torch.zeros(columns, width, dtype=torch.float64))
        self.register_buffer("log_frequency", torch.full((columns, width), -torch.inf, dtype=torch.float64))
        self.register_buffer("log_rest", torch.zeros(columns, dtype=torch.float64))

    @property
    def width(self) -> int:
        """Atoms of the column that has most."""
        return self.value.shape[1]

    @classmethod
    def of(cls, x: Tensor, y: Tensor, known: Tensor) -> Atoms:
        """The atoms of `[rows, columns]` data-unit values `x` at coordinates `y`."""
        found = []
        for c in range(x.shape[1]):
            seen = known[:, c]
            values, position, count = torch.unique(x[seen, c], return_inverse=True, return_counts=True)
            place = torch.zeros_like(values).scatter_(0, position, y[seen, c])
            often = torch.nonzero((count >= SHARE * seen.sum()) & (count >= FEWEST))[:, 0]
            often = often[count[often].argsort(descending=True, stable=True)[:MOST]].sort().values
            found.append((values[often], place[often], count[often].double() / seen.sum().clamp(min=1)))
        atoms = cls(x.shape[1], max([len(values) for values, _, _ in found], default=0)).to(x.device)
        for c, (values, place, share) in enumerate(found):
            n = len(values)
            atoms.value[c, :n], atoms.place[c, :n] = values, place
            atoms.log_frequency[c, :n] = torch.log(share)
            atoms.log_rest[c] = torch.log((1 - share.sum()).clamp(min=1e-3))
        return atoms

    def log_prior(self, mean: Tensor, sd: Tensor, grain: Tensor, c: int | None = None) -> Tensor:
        """How likely each atom is for the Gaussian's conditional, `[rows, columns, 1 + width]`; the slab comes first.

        `c` names one column, whose `mean` and `sd` are `[rows]`; the answer then is `[rows, 1 + width]`.

        log frequency + log N(atom; mean, t), t the larger of sd and grain; distances are cut, so that no atom is
        ever out of the network's reach.
        """
        own = slice(None) if c is None else c
        place, frequency, rest, grain = (
            x[own].to(sd.dtype) for x in (self.place, self.log_frequency, self.log_rest, grain)
        )
        t = torch.maximum(sd, grain)[..., None]
        far = ((place - mean[..., None]) / t).square().clamp(max=_FAR)
        prior = frequency - 0.5 * far - torch.log(t) - 0.9
        return torch.cat([rest.expand(mean.shape)[..., None], prior], -1)

    @property
    def held(self) -> int:
        """How many atoms all columns have together."""
        return int(torch.isfinite(self.value).sum())

    def indicators(self, x: Tensor, known: Tensor) -> Tensor:
        """Which atoms the known of `[rows, columns]` values are, `[rows, held]` float32."""
        column, place = torch.nonzero(torch.isfinite(self.value), as_tuple=True)
        seen = torch.where(known, x, torch.nan)
        return (seen[:, column] == self.value[column, place]).float()

    def matches(self, x: Tensor) -> Tensor:
        """Which atom each value is, `[rows, columns, width]` bool."""
        return x[..., None] == self.value
