"""The network of one member: from the features of a partly known row to the raw parameters of every column's law."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genprob.nets.residual import ResidualTrunk


class Network(nn.Module):
    """A residual trunk, and heads that start at the Gaussian and the frequencies.

    Attributes:
        slab: logits, shifts and spreads of each number's logistics, `numbers * 3 * logistics`.
        masses: logits of each number's slab and atoms, `numbers * (1 + atoms)`.
        softmax: logits of the levels of all categories.

    Arguments:
        features: width of what it is shown, but for the atoms.
        numbers, levels: how many numeric columns, and levels of the others, there are.
        hidden, blocks, dropout: of the trunk.
        logistics: components of the slab of a number.
    """

    def __init__(
        self, features: int, numbers: int, levels: int, *, hidden: int, blocks: int, dropout: float, logistics: int
    ) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(features, hidden=hidden, blocks=blocks, dropout=dropout)
        self.features = features
        self.numbers, self.levels, self.hidden, self.logistics = numbers, levels, hidden, logistics
        self.allocate(0, 0, torch.device("cpu"))

    def allocate(self, atoms: int, held: int, device: torch.device) -> None:
        """Inputs for `held` indicators of atoms, weighted by zero; heads of a slab and so many atoms per number."""
        n, k = self.numbers, self.logistics
        first = nn.Linear(self.features + held, self.hidden, device=device)
        with torch.no_grad():
            first.weight[:, : self.features] = self.trunk.first.weight[:, : self.features]
            first.weight[:, self.features :] = 0.0
            first.bias.copy_(self.trunk.first.bias)
        self.trunk.first = first
        self.slab = _head(self.hidden, n * 3 * k, device)
        self.masses = _head(self.hidden, n * (1 + atoms), device)
        self.softmax = _head(self.hidden, self.levels, device)
        with torch.no_grad():
            start = self.slab.bias.view(n, 3, k)
            start[:, 1] = torch.linspace(-1.5, 1.5, k, device=device) if k > 1 else 0.0
            start[:, 2] = -1.0 if k > 1 else -0.8

    def forward(self, features: Tensor) -> Tensor:
        """What the heads read, `[rows, features] -> [rows, hidden]`."""
        return self.trunk(features)


def _head(hidden: int, width: int, device: torch.device) -> nn.Linear:
    """A linear map that starts at zero."""
    head = nn.Linear(hidden, 1, device=device)  # of its own width it would warn where there is nothing to map to
    head.out_features = width
    head.weight = nn.Parameter(torch.zeros(width, hidden, device=device))
    head.bias = nn.Parameter(torch.zeros(width, device=device))
    return head
