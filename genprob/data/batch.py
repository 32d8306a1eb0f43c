"""Batches: rows of a table as tensors on a device, holes filled and masked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from genprob.data.schema import Schema
from genprob.data.support import Interval, Positive
from genprob.data.table import Table


@dataclass(frozen=True)
class Batch:
    """Some rows of the data.

    Attributes:
        schema: the modelled variables.
        values: `[rows, schema.width]`, categories as codes; a hole holds a feasible value, never NaN.
        observed: `[rows, schema.width]` bool, False at holes.
        index: `[rows]` int64, which rows of the whole they are.
        total: number of rows of the whole.
        copies: how often each row stands in succession; what depends on rows alone is computed for `distinct` ones.
    """

    schema: Schema
    values: Tensor
    observed: Tensor
    index: Tensor
    total: int
    copies: int = 1
    _all_known: Tensor | None = field(default=None, repr=False)
    """`observed` itself where all of it is known to be True: a batch that is given another mask loses the claim."""

    @property
    def complete(self) -> bool:
        """True if it is known, without a look at the mask, that no cell is a hole."""
        return self._all_known is self.observed

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Tensor:
        """Values of one variable, `[rows, *event]`."""
        variable = self.schema[name]
        return self.values[:, self.schema.slices[name]].reshape(len(self), *variable.shape)

    def mask(self, name: str) -> Tensor:
        """Where one variable is observed, `[rows, *event]`."""
        variable = self.schema[name]
        return self.observed[:, self.schema.slices[name]].reshape(len(self), *variable.shape)

    def take(self, index: Tensor) -> Batch:
        """The rows at these positions of this batch."""
        known = self.observed[index]
        every = known if self.complete else None
        return Batch(self.schema, self.values[index], known, self.index[index], self.total, _all_known=every)

    def repeat(self, copies: int) -> Batch:
        """Every row `copies` times in succession."""
        if copies == 1:
            return self
        out = self.take(torch.arange(len(self), device=self.index.device).repeat_interleave(copies))
        return replace(out, total=self.total * copies, copies=self.copies * copies)

    @property
    def distinct(self) -> Batch:
        """One of each row's copies."""
        if self.copies == 1:
            return self
        return replace(self.take(torch.arange(0, len(self), self.copies, device=self.index.device)), copies=1)

    def plate(self):
        """The one plate over the batch's rows; log-probabilities inside are scaled to the whole data."""
        import pyro

        return pyro.plate("rows", size=self.total, subsample=self.index)


def as_batch(table: Table, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> Batch:
    """All rows of a table as one batch on `device`; holes are filled with a value of the support."""
    feasible = np.array([_feasible(v.support) for v in table.schema.columns], dtype=np.float64)
    missing = np.isnan(table.values)
    filled = np.where(missing, feasible, table.values)
    known = torch.as_tensor(~missing).to(device)
    return Batch(
        table.schema,
        torch.as_tensor(filled, dtype=dtype).to(device),
        known,
        torch.arange(len(filled), device=device),
        len(filled),
        _all_known=None if missing.any() else known,
    )


def _feasible(support: object) -> float:
    if isinstance(support, Positive):
        return 1.0
    return (support.lo + support.hi) / 2 if isinstance(support, Interval) else 0.0


@dataclass
class Minibatches:
    """Batches as a function of the engine's step, so that a resumed run sees what an unbroken one would have seen.

    Each epoch is a permutation drawn from (seed, epoch); the last, incomplete batch of an epoch is kept.
    """

    whole: Batch
    size: int
    seed: int
    _order: tuple[int, Tensor] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if bool(self.whole.observed.all()):
            self.whole = replace(self.whole, _all_known=self.whole.observed)

    def __call__(self, step: int) -> Batch:
        n = len(self.whole)
        if self.size >= n:
            return self.whole
        per_epoch = -(-n // self.size)
        epoch, position = divmod(step, per_epoch)
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**32)
            self._order = (epoch, torch.randperm(n, generator=generator).to(self.whole.values.device))
        index = self._order[1][position * self.size : (position + 1) * self.size]
        if not self.whole.complete:
            return self.whole.take(index)
        known = self.whole.observed[: len(index)]  # every row of it is the same
        values, rows = self.whole.values[index], self.whole.index[index]
        return replace(self.whole, values=values, observed=known, index=rows, _all_known=known)

    def full(self) -> Batch:
        """All rows at once."""
        return self.whole
