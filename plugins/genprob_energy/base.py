"""Base laws of a deep energy: mixtures of normals over standardised reals, exact for any coordinates that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LOG_2PI = math.log(2 * math.pi)
_WIDE, _WIDE_SHARE = 2.0, 0.02
_RIDGE = 1e-6
_FAR = 10.0
_ROWS = 4096


class NormalMixture(nn.Module):
    """A mixture of normals: density, slope, draws, and the law of some coordinates given the others.

    Arguments:
        components: how many.
        width: coordinates.
    """

    log_share: Tensor
    mean: Tensor
    factor: Tensor
    whitener: Tensor

    def __init__(self, components: int, width: int) -> None:
        super().__init__()
        eye = torch.eye(width, dtype=torch.float64).expand(components, -1, -1)
        self.register_buffer("log_share", torch.full((components,), -math.log(components), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(components, width, dtype=torch.float64))
        self.register_buffer("factor", eye.clone())
        self.register_buffer("whitener", eye.clone())

    @torch.no_grad()
    def set(self, share: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Takes over shares `[K]`, means `[K, d]` and covariances `[K, d, d]`."""
        self.log_share.copy_(torch.log_softmax(share.double().log(), 0))
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.cholesky(covariance.double()))
        eye = torch.eye(self.mean.shape[1], dtype=torch.float64, device=self.mean.device)
        self.whitener.copy_(torch.linalg.solve_triangular(self.factor, eye, upper=False))

    @torch.no_grad()
    def surround(self, points: Tensor) -> None:
        """One normal, somewhat wider than points `[n, d]` are spread."""
        eye = torch.eye(points.shape[1], dtype=torch.float64, device=points.device)
        covariance = points.double().T.cov().reshape(eye.shape) if len(points) > 1 else eye
        self.set(torch.ones(1), points.mean(0)[None], (1.2 * covariance + 0.05 * eye)[None])

    @torch.no_grad()
    def fit(self, points: Tensor, seed: int) -> None:
        """EM on whole points `[n, d]`; one component in fifty of the draws is twice as wide as all of them.

        The wide component keeps a ratio to this law bounded where the data have tails that it has not.
        """
        from sklearn.mixture import GaussianMixture

        inner = len(self.mean) - 1
        x = points.double().cpu()
        ridge = _RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
        whole = x.T.cov().reshape(ridge.shape) + ridge
        if inner == 1:
            shares, means, covariances = torch.ones(1).double(), x.mean(0)[None], whole[None]
        else:
            found = GaussianMixture(inner, reg_covar=_RIDGE, random_state=seed, max_iter=200).fit(x.numpy())
            shares, means, covariances = map(torch.as_tensor, (found.weights_, found.means_, found.covariances_))
        self.set(
            torch.cat([(1 - _WIDE_SHARE) * shares, torch.tensor([_WIDE_SHARE], dtype=torch.float64)]),
            torch.cat([means, x.mean(0)[None]]),
            torch.cat([covariances, _WIDE**2 * whole[None]]),
        )

    def log_density(self, points: Tensor) -> Tensor:
        """`[..., d] -> [...]` in nats, float64."""
        if len(self.mean) == 1:
            return self._one(points)[0].double()
        return torch.logsumexp(self._each(points)[0], -1)

    def features(self, points: Tensor) -> Tensor:
        """How a point stands to the law, `[..., 2 d + K + 1]` in the type of the points, nothing beyond 10 from 0.

        Its coordinates whitened by the last component, and those whitened by each, averaged by how likely it is of
        each; that itself; and the log-density over d.
        """
        each, unit = self._each(points)
        value = torch.logsumexp(each, -1)
        likely = torch.exp(each - value[..., None])
        near = (likely[..., None] * unit).sum(-2)
        parts = [unit[..., -1, :], near, likely, value[..., None] / points.shape[-1]]
        return torch.cat(parts, -1).clamp(-_FAR, _FAR).to(points.dtype)

    def slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, in the type of the points."""
        if len(self.mean) == 1:
            value, unit = self._one(points)
            return value, -unit @ self.whitener[0].to(points.dtype)
        each, unit = self._each(points)
        value = torch.logsumexp(each, -1)
        weight = torch.exp(each - value[..., None])
        gradient = -torch.einsum("...k,...kd,kde->...e", weight, unit, self.whitener)
        return value.to(points.dtype), gradient.to(points.dtype)

    def _one(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """As of `_each` for a single component, without its dimension and in the type of the points."""
        unit = (points - self.mean[0].to(points.dtype)) @ self.whitener[0].mT.to(points.dtype)
        scale = float(self.whitener[0].diagonal().log().sum())
        return scale - 0.5 * (unit.square().sum(-1) + points.shape[-1] * _LOG_2PI), unit

    def _each(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density of each component times its share, `[..., K]`, and whitened points `[..., K, d]`."""
        off = points.double()[..., None, :] - self.mean
        unit = torch.einsum("kde,...ke->...kd", self.whitener, off)
        log_scale = self.whitener.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.log_share + log_scale - 0.5 * (unit.square().sum(-1) + points.shape[-1] * _LOG_2PI), unit

    def draw(self, count: int) -> Tensor:
        """Points `[count, d]` in torch's default type."""
        chosen = torch.multinomial(self.log_share.exp(), count, replacement=True)
        noise = torch.randn(count, self.mean.shape[1], dtype=torch.float64, device=self.mean.device)
        return (self.mean[chosen] + torch.einsum("nde,ne->nd", self.factor[chosen], noise)).to(
            torch.get_default_dtype()
        )

    def given(self, known: Tensor, value: Tensor) -> Given:
        """The law of the other coordinates where those `known [n, d]` have these values; exact."""
        covariance = self.factor @ self.factor.mT
        parts = [self._given(covariance, *part) for part in zip(known.split(_ROWS), value.split(_ROWS), strict=True)]
        return Given(known, value, *(torch.cat(one) for one in zip(*parts, strict=True)))

    def _given(self, covariance: Tensor, known: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at = known.double()[:, None]
        eye = torch.diag_embed((~known).double())[:, None]
        seen = torch.linalg.cholesky(covariance * at[..., None] * at[..., None, :] + eye)
        off = torch.where(known[:, None], value.double()[:, None] - self.mean, 0.0)
        unit = torch.linalg.solve_triangular(seen, off[..., None], upper=False)
        log_scale = seen.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_share = self.log_share - log_scale - 0.5 * (unit.square().sum((-2, -1)) + known.sum(1)[:, None] * _LOG_2PI)
        across = covariance * (1 - at)[..., None] * at[..., None, :]
        pull = torch.linalg.solve_triangular(seen, across.mT, upper=False)  # [n, K, d, d]
        mean = self.mean + (pull.mT @ unit)[..., 0]
        left = covariance * (1 - at)[..., None] * (1 - at)[..., None, :] - pull.mT @ pull
        ridge = 1e-9 * torch.eye(known.shape[1], dtype=torch.float64, device=known.device)
        return log_share, mean, torch.linalg.cholesky(left + torch.diag_embed(at) + ridge)


@dataclass(frozen=True, eq=False)
class Given:
    """Laws of the unknown coordinates of n points, mixtures of K normals each.

    Attributes:
        known, value: `[n, d]` what is given.
        log_share: `[n, K]`; their log-sum-exp is the log-density of what is given.
        mean: `[n, K, d]`.
        factor: `[n, K, d, d]`, of no meaning at known coordinates.
    """

    known: Tensor
    value: Tensor
    log_share: Tensor
    mean: Tensor
    factor: Tensor

    @property
    def log_density(self) -> Tensor:
        """Of what is given, `[n]` float64; 0 where nothing is."""
        return torch.logsumexp(self.log_share, 1)

    def draw(self, copies: int) -> Tensor:
        """`[n, copies, d]` in the type of the values, the known coordinates as they are."""
        chosen = torch.multinomial(torch.softmax(self.log_share, 1), copies, replacement=True)
        row = torch.arange(len(chosen), device=chosen.device)[:, None]
        noise = torch.randn(*chosen.shape, self.mean.shape[-1], dtype=torch.float64, device=chosen.device)
        noise = torch.where(self.known[:, None], 0.0, noise)
        moved = (self.factor[row, chosen] @ noise[..., None])[..., 0]
        drawn = (self.mean[row, chosen] + moved).to(self.value.dtype)
        return torch.where(self.known[:, None], self.value[:, None], drawn)
