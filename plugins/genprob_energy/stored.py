"""What is kept with a fitted energy: its partition function, the temperatures it was found by, and draws."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genprob.metrics.partition import MOST_GAP, Partition


class Stored(nn.Module):
    """Buffers that travel with the model's checkpoint.

    Arguments:
        draws: number of points kept.
        width: numbers to a point.
        temperatures: steps of the path.
        dtype: of the points.
    """

    numbers: Tensor
    shares: Tensor

    def __init__(self, draws: int, width: int, temperatures: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.full((7,), torch.nan, dtype=torch.float64))
        self.register_buffer("shares", torch.linspace(0, 1, temperatures + 1, dtype=torch.float64))
        # No buffer: every step of a fit would copy it, to give it back as it was.
        self.reservoir = nn.Parameter(torch.zeros(draws, width, dtype=dtype), requires_grad=False)

    @property
    def known(self) -> bool:
        """True once a partition function is kept."""
        return bool(torch.isfinite(self.numbers[0]))

    @torch.no_grad()
    def keep(self, found: Partition) -> None:
        """Takes over a partition function."""
        numbers = [
            found.value, found.error, found.optimistic, found.conservative, found.kind == "exact", found.interval,
            not found.reliable,
        ]  # fmt: skip
        self.numbers.copy_(torch.tensor([float(x) for x in numbers], dtype=torch.float64))

    def partition(self) -> Partition:
        """The partition function that is kept."""
        value, error, optimistic, conservative, exact, interval, doubt = self.numbers.tolist()
        kind, reason = "exact" if exact else "estimate", ""
        if doubt:
            gap = conservative - optimistic
            apart = abs(gap) > MOST_GAP
            reason = f"its two ends differ by {gap:.2f} nats" if apart else "its weights are worth few chains"
        return Partition(value, error, optimistic, conservative, kind, bool(interval), reason)

    @torch.no_grad()
    def fill(self, points: Tensor) -> None:
        """Takes over draws, over and over if they are too few."""
        index = torch.arange(len(self.reservoir), device=points.device) % len(points)
        self.reservoir.copy_(points[index])

    def draw(self, draws: int) -> Tensor:
        """Kept draws `[draws, width]`, each about equally often, in random order."""
        kept = len(self.reservoir)
        index = torch.cat([torch.randperm(kept) for _ in range(-(-draws // kept))])[:draws]
        return self.reservoir[index.to(self.reservoir.device)].clone()

    def path(self, count: int) -> list[float]:
        """At most `count + 1` of the shares, both ends among them."""
        at = torch.linspace(0, len(self.shares) - 1, min(count + 1, len(self.shares))).round().long()
        return self.shares[at.to(self.shares.device)].tolist()
