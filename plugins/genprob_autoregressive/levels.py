"""Levels: the categorical and binary columns, side by side on one axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genprob.data.schema import Schema


class Levels(nn.Module):
    """Which flat columns have levels, where these lie on the common axis, and how frequent each is.

    Attributes:
        columns: flat columns of the schema.
        sizes, starts: number of levels of each, and the first position of each on the axis.
        owner: `[width]` which column each position belongs to.
        log_frequency: `[width]` log share of each level among the training rows, smoothed.
    """

    owner: Tensor
    first: Tensor
    log_frequency: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.columns = [j for j, v in enumerate(schema.columns) if v.cardinality is not None]
        self.sizes = [schema.columns[j].cardinality or 0 for j in self.columns]
        self.starts = [sum(self.sizes[:c]) for c in range(len(self.sizes))]
        self.register_buffer("owner", torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes).long()))
        self.register_buffer("first", torch.tensor(self.starts, dtype=torch.long))
        self.register_buffer("log_frequency", torch.zeros(self.width, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def width(self) -> int:
        """Length of the common axis."""
        return sum(self.sizes)

    def slice(self, c: int) -> slice:
        """Where the levels of one column lie."""
        return slice(self.starts[c], self.starts[c] + self.sizes[c])

    def fit(self, codes: Tensor, known: Tensor) -> None:
        """Counts frequencies over `[rows, columns]` where `known`, half a row added to each level."""
        hits = self.one_hot(codes, known).sum(0) + 0.5
        total = torch.zeros(len(self), dtype=hits.dtype, device=hits.device).index_add_(0, self.owner, hits)
        self.log_frequency.copy_(torch.log(hits / total[self.owner]))

    def one_hot(self, codes: Tensor, known: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """`[rows, width]` indicators, all zero in unknown columns."""
        out = torch.zeros(len(codes), self.width, dtype=dtype, device=codes.device)
        if len(self):
            out.scatter_(1, codes.long() + self.first, known.to(out.dtype))
        return out

    def log_probs(self, logits: Tensor) -> Tensor:
        """Log-softmax within each column, `[rows, width] -> [rows, width]`."""
        if not len(self):
            return logits
        index = self.owner.expand(logits.shape)
        blank = logits.new_full((len(logits), len(self)), -torch.inf)
        peak = blank.scatter_reduce(1, index, logits.detach(), "amax")
        below = logits - peak.gather(1, index)
        total = torch.zeros_like(peak).scatter_add(1, index, torch.exp(below))
        return below - torch.log(total).gather(1, index)
