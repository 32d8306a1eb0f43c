"""Marginals of a cloud: Rao-Blackwell averages of the components' own moments, quantiles and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.results.record import QUANTILES, Marginal
from genprob_mixture.tables import negative_binomial

if TYPE_CHECKING:
    from genprob_mixture.cloud import MixtureCloud

_MOST = 4_000_000
"""Component evaluations afforded to a marginal of one column; beyond it the cloud is thinned without bias."""
_HERMITE = 24


def average(cloud: MixtureCloud, targets: tuple[str, ...], *, exact: bool) -> dict[str, Marginal]:
    """Each target's marginal. Where `exact`, nothing was sampled and the Monte-Carlo errors are zero."""
    mixture = cloud.mixture
    weight = torch.softmax(cloud.log_weight, 1)
    k, mean, weight = _thin(cloud.k, cloud.mean, weight, exact)
    out: dict[str, Marginal] = {}
    for name in targets:
        variable = mixture.schema[name]
        columns = range(*mixture.schema.slices[name].indices(mixture.schema.width))
        if variable.cardinality is not None:
            parts = [_levels(cloud, j, k, weight, exact) for j in columns]
        elif variable.is_count:
            parts = [_count(cloud, j, k, weight, exact) for j in columns]
        else:
            assert mean is not None
            parts = [_real(cloud, j, k, mean, weight, exact) for j in columns]
        out[name] = _stack(parts, variable.shape)
    return out


def _thin(k: Tensor, mean: Tensor | None, weight: Tensor, exact: bool) -> tuple[Tensor, Tensor | None, Tensor]:
    """Drops entries of no weight; a large cloud of particles is resampled systematically to what can be afforded."""
    queries, entries = k.shape
    most = max(32, _MOST // (queries * len(QUANTILES) * 16))
    order = weight.argsort(1, descending=True)
    ordered = weight.gather(1, order)
    needed = int((ordered.cumsum(1) < 1 - 1e-8).sum(1).max()) + 1
    if not exact and needed > most:
        points = (torch.arange(most, device=k.device) + torch.rand(queries, 1, device=k.device)) / most
        order = torch.searchsorted(weight.cumsum(1), points.to(weight.dtype)).clamp(max=entries - 1)
        ordered = torch.full((queries, most), 1.0 / most, dtype=weight.dtype, device=k.device)
    else:
        order, ordered = order[:, :needed], ordered[:, :needed]
        ordered = ordered / ordered.sum(1, keepdim=True)
    kept = None if mean is None else mean.gather(1, order[..., None].expand(-1, -1, mean.shape[-1]))
    return k.gather(1, order), kept, ordered


def _error(values: Tensor, weight: Tensor, mean: Tensor, exact: bool) -> Tensor:
    """Standard error of a self-normalised average of conditional means."""
    if exact:
        return torch.zeros_like(mean)
    return ((weight.square() * (values - mean[:, None]).square()).sum(1)).sqrt()


def _levels(cloud: MixtureCloud, j: int, k: Tensor, weight: Tensor, exact: bool) -> dict[str, Tensor]:
    tables = cloud.mixture.tables
    at = tables.levels.index(j)
    start, size = tables.starts[at], tables.sizes[at]
    probs = cloud.mixture.level_log_probs().detach()[:, start : start + size].exp()[k]
    levels = cloud.conditional.evidence.levels
    if levels is not None:
        tilted = probs * levels[:, None, start : start + size].exp()
        probs = tilted / tilted.sum(-1, keepdim=True)
    pmf = (weight[..., None] * probs).sum(1)
    error = torch.stack([_error(probs[..., i], weight, pmf[:, i], exact) for i in range(size)], -1)
    out = {"pmf": pmf, "pmf_mcse": error}
    blank = torch.full_like(pmf[:, 0], torch.nan)
    if cloud.mixture.schema.columns[j].support.kind == "binary":
        mean = pmf[:, 1]
        quantiles = torch.stack([(pmf[:, 0] < q).double() for q in QUANTILES], 1)
        return out | {"mean": mean, "sd": (mean * (1 - mean)).sqrt(), "mcse": error[:, 1], "quantiles": quantiles}
    return out | {"mean": blank, "sd": blank, "mcse": blank, "quantiles": blank[:, None].expand(-1, len(QUANTILES))}


def _count(cloud: MixtureCloud, j: int, k: Tensor, weight: Tensor, exact: bool) -> dict[str, Tensor]:
    c = cloud.mixture.tables.counts.index(j)
    log_mean, log_size = cloud.mixture.log_mean[:, c].detach(), cloud.mixture.log_size[:, c].detach()
    means, variances = log_mean.exp(), log_mean.exp() + (2 * log_mean - log_size).exp()
    mean = (weight * means[k]).sum(1)
    variance = (weight * (variances[k] + (means[k] - mean[:, None]).square())).sum(1)
    top = int(min(20_000, float((means + 12 * variances.sqrt()).max()) + 20))
    grid = torch.arange(top + 1, dtype=torch.float64, device=k.device)
    share = torch.zeros(len(k), len(means), dtype=torch.float64, device=k.device).scatter_add_(1, k, weight)
    pmf = share @ negative_binomial(grid, log_mean[:, None], log_size[:, None]).exp()
    cumulative = pmf.cumsum(1)
    quantiles = torch.stack([(cumulative < q).sum(1).double() for q in QUANTILES], 1)
    return {"mean": mean, "sd": variance.sqrt(), "mcse": _error(means[k], weight, mean, exact), "quantiles": quantiles}


def _real(
    cloud: MixtureCloud, j: int, k: Tensor, mean: Tensor, weight: Tensor, exact: bool
) -> dict[str, Tensor]:
    encoder = cloud.mixture.encoder
    c = encoder.columns.index(j)
    conditional = cloud.conditional
    loc = mean[..., c]
    sd = conditional.covariance[conditional.pattern[:, None], k, c, c].clamp(min=0).sqrt()
    first, second = _moments(cloud, c, loc, sd)
    centre = (weight * first).sum(1)
    variance = (weight * (second + (first - centre[:, None]).square())).sum(1)
    quantiles = encoder.snap_column(c, encoder.decode_column(c, _quantiles(loc, sd, weight)))
    return {
        "mean": centre,
        "sd": variance.clamp(min=0).sqrt(),
        "mcse": _error(first, weight, centre, exact),
        "quantiles": quantiles,
    }


def _moments(cloud: MixtureCloud, c: int, loc: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance in data units of each entry: closed form where decoding is linear, else Gauss-Hermite."""
    encoder = cloud.mixture.encoder
    cell = encoder.cells[c]
    if c in encoder.positive or c in encoder.bounded or encoder.power:
        nodes, shares = np.polynomial.hermite_e.hermegauss(_HERMITE)
        at = loc[..., None] + sd[..., None] * torch.as_tensor(nodes, device=loc.device)
        share = torch.as_tensor(shares / shares.sum(), device=loc.device)
        x = encoder.decode_column(c, at)
        mean = (x * share).sum(-1)
        variance = ((x - mean[..., None]).square() * share).sum(-1)
    else:
        slope = encoder.scale[c]
        mean, variance = encoder.decode_column(c, loc), (slope * sd).square()
    if cell is None:
        return mean, variance
    narrow = variance.sqrt() < cell.delta / 2
    variance = variance + cell.delta**2 / 12
    if not bool(narrow.any()):
        return mean, variance
    # A law narrower than half a cell sits on a few grid values: sum over the seven nearest.
    middle = encoder.snap_column(c, mean[narrow])
    offsets = torch.arange(-3, 4, dtype=torch.float64, device=loc.device) * cell.delta
    values = encoder.snap_column(c, middle[:, None] + offsets)
    spread = sd[narrow][:, None].clamp(min=1e-12)
    edges = [encoder.encode_column(c, encoder.nearest_inside(c, values + s * cell.delta / 2)) for s in (-1, 1)]
    mass = torch.special.ndtr((edges[1] - loc[narrow][:, None]) / spread)
    mass = mass - torch.special.ndtr((edges[0] - loc[narrow][:, None]) / spread)
    total = mass.sum(-1, keepdim=True)
    known = total[:, 0] > 0.5
    mass = mass / total.clamp(min=1e-300)
    first = (mass * values).sum(-1)
    second = (mass * (values - first[:, None]).square()).sum(-1)
    mean, variance = mean.clone(), variance.clone()
    mean[narrow] = torch.where(known, first, mean[narrow])
    variance[narrow] = torch.where(known, second, variance[narrow])
    return mean, variance


def _quantiles(loc: Tensor, sd: Tensor, weight: Tensor) -> Tensor:
    """Quantiles of mixtures of normals `[Q, J]` at QUANTILES, `[Q, 7]`: Newton's method kept inside a bracket."""
    levels = torch.tensor(QUANTILES, dtype=loc.dtype, device=loc.device)
    spread = sd.clamp(min=1e-12)
    lower = (loc - 9 * spread).amin(1, keepdim=True).expand(-1, len(levels)).clone()
    upper = (loc + 9 * spread).amax(1, keepdim=True).expand(-1, len(levels)).clone()
    centre = (weight * loc).sum(1, keepdim=True)
    wide = ((weight * (spread.square() + (loc - centre).square())).sum(1, keepdim=True)).sqrt()
    x = torch.clamp(centre + wide * torch.special.ndtri(levels), lower, upper)
    for _ in range(16):
        z = (x[:, :, None] - loc[:, None]) / spread[:, None]
        below = (weight[:, None] * torch.special.ndtr(z)).sum(-1) - levels
        density = (weight[:, None] * torch.exp(-0.5 * z.square()) / spread[:, None]).sum(-1) * 0.3989422804014327
        upper = torch.where(below > 0, x, upper)
        lower = torch.where(below > 0, lower, x)
        step = x - below / density.clamp(min=1e-300)
        x = torch.where((step > lower) & (step < upper), step, (lower + upper) / 2)
    return x


def _stack(parts: list[dict[str, Tensor]], shape: tuple[int, ...]) -> Marginal:
    """Joins the columns of one variable into its event shape."""
    queries = len(parts[0]["mean"])

    def joined(name: str) -> np.ndarray:
        return torch.stack([p[name] for p in parts], 1).cpu().numpy().reshape(queries, *shape)

    quantiles = torch.stack([p["quantiles"] for p in parts], 2).cpu().numpy().reshape(queries, len(QUANTILES), *shape)
    levelled = "pmf" in parts[0]
    pmf = {
        name: torch.stack([p[name] for p in parts], 1).cpu().numpy().reshape(queries, *shape, -1) if levelled else None
        for name in ("pmf", "pmf_mcse")
    }
    return Marginal(joined("mean"), joined("sd"), joined("mcse"), quantiles, pmf["pmf"], pmf["pmf_mcse"], True)
