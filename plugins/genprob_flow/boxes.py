"""Evidence in encoded coordinates: points, boxes around everything else, and readings that weigh what is inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.data.encoders import Encoder
from genprob.query.batch import NOISY, POINT, RANGE, SET, QueryBatch

REACH = 8.0
"""Standard deviations of a reading beyond which nothing is proposed."""


@dataclass(eq=False)
class Boxes:
    """What Q queries know of d real columns.

    Attributes:
        encoder: of the columns.
        queries: the evidence.
        point: `[Q, d]` bool, true reals given to a value, with `z [Q, d]` (0 elsewhere).
        lower, upper: `[Q, d, m]` encoded ends of what else is left: one interval, or those of a set; the rest empty.
        log_scale: `[Q]` log-Jacobian of the points.
    """

    encoder: Encoder
    queries: QueryBatch
    point: Tensor
    z: Tensor
    lower: Tensor
    upper: Tensor
    log_scale: Tensor

    @classmethod
    def of(cls, encoder: Encoder, queries: QueryBatch, device: torch.device) -> Boxes:
        """The evidence of a query batch over reals alone."""
        kind, a, b = queries.kind, queries.a, queries.b
        n, d = kind.shape
        cells = np.array([cell is not None for cell in encoder.cells])
        point = (kind == POINT) & ~cells
        most = max([1, *(values.shape[1] for values in queries.sets.values())])
        low, high = np.full((n, d, most), np.inf), np.full((n, d, most), -np.inf)
        low[..., 0], high[..., 0] = -np.inf, np.inf
        for j, cell in enumerate(encoder.cells):
            told = kind[:, j]
            ranged, read, given = told == RANGE, told == NOISY, told == POINT
            low[ranged, j, 0], high[ranged, j, 0] = a[ranged, j], b[ranged, j]
            reach = REACH * b[read, j] + (cell.delta if cell is not None else 0.0)
            low[read, j, 0], high[read, j, 0] = a[read, j] - reach, a[read, j] + reach
            if cell is not None:
                low[ranged, j, 0], high[ranged, j, 0] = cell.span(a[ranged, j], b[ranged, j])
                low[given, j, 0], high[given, j, 0] = cell.edges(a[given, j])
                if j in queries.sets:
                    members = queries.sets[j]
                    below, above = cell.edges(np.nan_to_num(members))
                    chosen = (told == SET)[:, None] & ~np.isnan(members)
                    low[told == SET, j], high[told == SET, j] = np.inf, -np.inf
                    low[:, j, : members.shape[1]] = np.where(chosen, below, low[:, j, : members.shape[1]])
                    high[:, j, : members.shape[1]] = np.where(chosen, above, high[:, j, : members.shape[1]])
        known = torch.as_tensor(point, device=device)
        centre = encoder.decode(torch.zeros(1, d, dtype=torch.float64, device=device))
        x = torch.where(known, torch.as_tensor(np.nan_to_num(a), device=device), centre)
        ends = [torch.as_tensor(end, device=device).transpose(1, 2) for end in (low, high)]
        empty = (ends[0] > ends[1]).transpose(1, 2)
        lower, upper = (encoder.encode(end).transpose(1, 2) for end in ends)
        return cls(
            encoder,
            queries,
            known,
            torch.where(known, encoder.encode(x), 0.0),
            torch.where(empty, torch.inf, lower.nan_to_num(-torch.inf)),
            torch.where(empty, -torch.inf, upper.nan_to_num(torch.inf)),
            torch.where(known, encoder.log_jacobian(x), 0.0).sum(1),
        )

    def log_readings(self, x: Tensor) -> Tensor:
        """log p(noisy readings | x) of rows `[Q, J, d]` in data units, `[Q, J]`."""
        out = torch.zeros(x.shape[:2], dtype=torch.float64, device=x.device)
        for j in np.flatnonzero((self.queries.kind == NOISY).any(0)).tolist():
            on = torch.as_tensor(self.queries.kind[:, j] == NOISY, device=x.device)[:, None]
            reading = torch.as_tensor(np.nan_to_num(self.queries.a[:, j]), device=x.device)[:, None]
            sd = torch.as_tensor(np.nan_to_num(self.queries.b[:, j], nan=1.0), device=x.device)[:, None]
            law = torch.distributions.Normal(x[..., j], torch.where(on, sd, 1.0), validate_args=False)
            out = out + torch.where(on, law.log_prob(reading), 0.0)
        return out
