"""Networks of one noise level: an energy whose gradient denoises, or a denoiser itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genprob.nets.mlp import mlp


class EnergyNet(nn.Module):
    """`E(x) = |x|^2 / (2 + 2 s^2) + F(x)`: the energy of unit normal data seen with noise s, and what is left.

    The denoiser is r(x) = x - s^2 grad E(x), a gradient field as that of every density is (Vincent 2011). NaN are
    holes: the energy is then that of the other numbers.

    Arguments:
        width: numbers of a point.
        hidden: sizes of the layers of F.
        sigma: standard deviation of the noise.
    """

    def __init__(self, width: int, hidden: Sequence[int], sigma: float) -> None:
        super().__init__()
        self.network, self.sigma = mlp(2 * width, hidden, 1), sigma

    def forward(self, points: Tensor) -> Tensor:
        """`[n, width] -> [n]`."""
        x, known = _filled(points)
        return 0.5 * x.square().sum(-1) / (1 + self.sigma**2) + self.network(torch.cat([x, known], -1))[..., 0]

    @torch.no_grad()
    def value_and_score(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Energies `[n]` and scores `[n, width]` of whole points, by the chain rule written out: no graph is built.

        Chains ask for it tens of thousands of times, where building a graph costs more than the arithmetic.
        """
        width = points.shape[1]
        linear = [layer for layer in self.network if isinstance(layer, nn.Linear)]
        layer, slopes = points, []
        for number, part in enumerate(linear):
            weight, bias = part.weight, part.bias
            if not number:  # all numbers are known, and the network is told so
                weight, bias = weight[:, :width], bias + weight[:, width:].sum(1)
            layer = torch.addmm(bias, layer, weight.T)
            if number < len(linear) - 1:  # in place: these are passes over memory, a quarter of the time
                gate = torch.sigmoid(layer)
                layer = layer.mul_(gate)
                slopes.append(torch.addcmul(layer, gate, layer, value=-1).add_(gate))
        back = linear[-1].weight
        for number, slope in zip(range(len(linear) - 2, -1, -1), slopes[::-1], strict=True):
            weight = linear[number].weight
            back = slope.mul_(back) @ (weight if number else weight[:, :width])
        spread = 1 + self.sigma**2
        return 0.5 * points.square().sum(1) / spread + layer[:, 0], -points / spread - back

    def score(self, points: Tensor) -> Tensor:
        """Minus the gradient, `[n, width]`; differentiable in the parameters."""
        with torch.enable_grad():
            known = ~torch.isnan(points)
            x = torch.where(known, points, 0.0)
            x = x if x.requires_grad else x.detach().requires_grad_()
            energy = self(torch.where(known, x, torch.nan))
            (gradient,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
        return -gradient


class DenoiserNet(nn.Module):
    """`r(x) = x + s^2 (F(x) - x / (1 + s^2))`: a denoiser that need be no gradient field.

    Arguments:
        width: numbers of a point; NaN are holes.
        hidden: sizes of the layers of F.
        sigma: standard deviation of the noise.
    """

    def __init__(self, width: int, hidden: Sequence[int], sigma: float) -> None:
        super().__init__()
        self.network, self.sigma = mlp(2 * width, hidden, width), sigma

    def forward(self, points: Tensor) -> Tensor:
        """Denoised points, `[n, width]`."""
        x, _ = _filled(points)
        return x + self.sigma**2 * self.score(points)

    def score(self, points: Tensor) -> Tensor:
        """(r(x) - x) / s^2, `[n, width]`, which estimates the score of the noisy law (Alain and Bengio 2014)."""
        x, known = _filled(points)
        return self.network(torch.cat([x, known], -1)) - x / (1 + self.sigma**2)


def _filled(points: Tensor) -> tuple[Tensor, Tensor]:
    known = ~torch.isnan(points)
    return torch.where(known, points, 0.0), known.to(points.dtype)
