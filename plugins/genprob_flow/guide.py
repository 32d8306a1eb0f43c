"""The guide: a Gaussian mixture of rows, which proposes what a flow cannot condition on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genprob.nets.normal import draw_between, log_between
from genprob_flow.boxes import Boxes

BROAD = 0.1
"""Share of proposals from a law much wider than the data, whatever the evidence makes of the mixture."""
_WIDTH = 3.0
_INFLATED = 1.3
"""Factor on the variances of the mixture, so that proposals are wider than what they stand for."""
_TINY = 1e-6
_NUMBERS = 4_000_000
"""Whitened numbers that are computed at once."""
_LOG_2PI = math.log(2 * math.pi)


class Guide(nn.Module):
    """A mixture of K Gaussians and one broad one over encoded coordinates, with proposals under boxes.

    A component is drawn by how likely it makes the points; its coordinates follow one after the other, each from its
    conditional normal law cut off at its box (Geweke, Hajivassiliou and Keane). With the component as part of what is
    proposed, the weight of coordinates z is p(z) p(component | z) / q(component, z), and only the component that was
    drawn has to be looked at box by box.

    Arguments:
        width: number of coordinates.
        components: number of Gaussians K.
    """

    log_share: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, width: int, components: int) -> None:
        super().__init__()
        self.register_buffer("log_share", torch.full((components + 1,), -math.log(components + 1.0)).double())
        self.register_buffer("mean", torch.zeros(components + 1, width, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(width, dtype=torch.float64).repeat(components + 1, 1, 1))

    def fit(self, z: np.ndarray, seed: int) -> None:
        """Sets the mixture from complete rows `[rows, width]`."""
        from sklearn.mixture import GaussianMixture

        components = len(self.log_share) - 1
        fitted: Any = GaussianMixture(components, reg_covar=1e-5, random_state=seed, n_init=1, max_iter=60).fit(z)
        share = np.append((1 - BROAD) * fitted.weights_, BROAD)
        eye = _WIDTH**2 * np.eye(z.shape[1])[None]
        self.log_share.copy_(torch.as_tensor(np.log(share)))
        self.mean.copy_(torch.as_tensor(np.concatenate([fitted.means_, np.zeros((1, z.shape[1]))])))
        self.covariance.copy_(torch.as_tensor(np.concatenate([_INFLATED * fitted.covariances_, eye])))

    def log_density(self, z: Tensor, known: Tensor) -> Tensor:
        """log density of the known coordinates of `[n, width]`, `[n]`."""
        order, factor = self._ordered(known)
        return torch.logsumexp(self.log_share + self._points(z, known, order, factor)[0], 1)

    def propose(self, boxes: Boxes, particles: int) -> tuple[Tensor, Tensor]:
        """Coordinates `[Q, J, width]` within the boxes and minus the log of their density, `[Q, J]`.

        The broad component takes its share of the particles under any evidence.
        """
        order, factor = self._ordered(boxes.point)
        log_point, error = self._points(boxes.z, boxes.point, order, factor)
        posterior = torch.log_softmax(self.log_share + log_point, 1)
        broad = torch.zeros_like(posterior[0])
        broad[-1] = 1.0
        share = torch.logaddexp(posterior + math.log1p(-BROAD), broad.log() + math.log(BROAD))
        k = torch.multinomial(share.exp(), particles, replacement=True)
        rows = torch.arange(len(k), device=k.device)[:, None]
        log_q = share.gather(1, k)
        e = error[rows, k]
        at = torch.zeros_like(e)
        mean = self.mean[k].gather(2, order[:, None].expand(-1, particles, -1))
        lower, upper = (end.gather(1, order[..., None].expand_as(end)) for end in (boxes.lower, boxes.upper))
        points = boxes.point.gather(1, order)
        given = boxes.z.gather(1, order)
        for i in range(order.shape[1]):
            row = factor[rows, k, i]
            scale = row[..., i]
            centre = mean[..., i] + (row[..., :i] * e[..., :i]).sum(-1)
            free = ~points[:, i]
            if not free.any():
                at[..., i] = given[:, None, i]
                continue
            lo, hi = ((end[:, None, i] - centre[..., None]) / scale[..., None] for end in (lower, upper))
            mass = log_between(lo, hi)
            total = torch.logsumexp(mass, -1)
            piece = torch.zeros_like(k)
            if mass.shape[-1] > 1:
                safe = torch.where(torch.isfinite(total)[..., None], mass, 0.0)
                cumulative = torch.softmax(safe, -1).cumsum(-1)[..., :-1]
                piece = (torch.rand_like(total)[..., None] > cumulative).sum(-1)
            low, high = (end.gather(-1, piece[..., None])[..., 0] for end in (lo, hi))
            drawn = draw_between(low.clamp(-1e8, 1e8), high.clamp(-1e8, 1e8))
            log_density = -0.5 * drawn.square() - 0.5 * _LOG_2PI - torch.log(scale) - total
            e[..., i] = torch.where(free[:, None], drawn, e[..., i])
            at[..., i] = torch.where(free[:, None], centre + scale * drawn, given[:, None, i])
            log_q = log_q + torch.where(free[:, None], log_density, 0.0)
        back = torch.argsort(order, 1)
        z = at.gather(2, back[:, None].expand(-1, particles, -1))
        responsibility = self._responsibility(z).gather(2, k[..., None])[..., 0]
        return z, responsibility - log_q

    def _responsibility(self, z: Tensor) -> Tensor:
        """log p(component | coordinates `[Q, J, width]`), `[Q, J, K]`."""
        factor = torch.linalg.cholesky(self._covariance())
        # |L^-1 (z - mean)|^2 as one product of all coordinates with all inverse factors.
        inverse = torch.linalg.inv(factor)
        whiten = inverse.permute(2, 0, 1).flatten(1)  # [width, K * width]
        centre = torch.einsum("kij,kj->ki", inverse, self.mean).flatten()
        constant = self.log_share - torch.log(factor.diagonal(dim1=1, dim2=2)).sum(1)
        parts = [
            torch.log_softmax(
                constant - 0.5 * (part @ whiten - centre).square().unflatten(1, self.mean.shape).sum(-1), 1
            )
            for part in z.reshape(-1, z.shape[-1]).split(max(1, _NUMBERS // self.mean.numel()))
        ]
        return torch.cat(parts).reshape(*z.shape[:-1], -1)

    def _covariance(self) -> Tensor:
        return self.covariance + _TINY * torch.eye(self.mean.shape[1], dtype=torch.float64, device=self.mean.device)

    def _ordered(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known coordinates first, `[n, width]`, and Cholesky factors in that order, `[n, K, width, width]`."""
        patterns, which = torch.unique(known, dim=0, return_inverse=True)
        order = torch.argsort((~patterns).to(torch.int8), dim=1, stable=True)
        covariance = self._covariance()
        factor = torch.stack([torch.linalg.cholesky(covariance[:, o][:, :, o]) for o in order])
        return order[which], factor[which]

    def _points(self, z: Tensor, known: Tensor, order: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """log density of the known coordinates under each component `[n, K]`, and whitened errors, 0 elsewhere."""
        count = known.sum(1)
        out = torch.zeros(len(z), len(self.mean), dtype=torch.float64, device=z.device)
        error = torch.zeros(*out.shape, z.shape[1], dtype=torch.float64, device=z.device)
        ordered = z.gather(1, order)
        mean = self.mean[:, order].transpose(0, 1)
        for i in range(int(count.max()) if len(count) else 0):
            on = (count > i)[:, None]
            centre = mean[..., i] + (factor[..., i, :i] * error[..., :i]).sum(-1)
            scale = factor[..., i, i]
            value = (ordered[:, None, i] - centre) / scale
            error[..., i] = torch.where(on, value, 0.0)
            out = out + torch.where(on, -0.5 * value.square() - 0.5 * _LOG_2PI - torch.log(scale), 0.0)
        return out, error
