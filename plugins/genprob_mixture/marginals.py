"""Marginals of a cloud: Rao-Blackwell averages of the components' own moments, quantiles and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genprob.data.encoders import Encoder
from genprob.results.record import QUANTILES, Marginal
from genprob_mixture.conditional import Conditional
from genprob_mixture.tables import negative_binomial

_MOST = 4_000_000
"""Component evaluations afforded to the quantiles of one column; beyond it particles are thinned without bias."""
_COUNTS = 20_000
"""Counts up to here are listed one by one."""
_HERMITE = 24
_NEWTON = 60
_LEVEL_ERROR = 1e-7
"""How far the level of a quantile may be off before its last Newton step."""
_PEAK, _ROOT_HALF = 0.3989422804014327, 0.7071067811865476
_FEW = 64
"""Up to this many queries entries are kept down to a share of 1e-8, beyond it 1e-5."""


@dataclass(frozen=True, eq=False)
class Entries:
    """What marginals average over: J weighted entries a query, each a component with a mean of the reals.

    Attributes:
        conditional: covariances and evidence.
        k, mean, weight: `[Q, J]` components, `[Q, J, d]` means, `[Q, J]` weights that sum to 1.
        exact: nothing was sampled, so that Monte-Carlo errors are zero.
    """

    conditional: Conditional
    k: Tensor
    mean: Tensor
    weight: Tensor
    exact: bool

    def of(self, queries: Tensor) -> Entries:
        """Those of the queries at these positions."""
        return replace(
            self,
            conditional=self.conditional.of(queries),
            k=self.k[queries],
            mean=self.mean[queries],
            weight=self.weight[queries],
        )


def average(entries: Callable[[int | None], Entries], targets: tuple[str, ...]) -> dict[str, Marginal]:
    """Each target's marginal; `entries` of a real column (None: of the tables) are what is averaged over."""
    mixture = entries(None).conditional.mixture
    out: dict[str, Marginal] = {}
    for name in targets:
        variable = mixture.schema[name]
        parts = []
        for j in range(*mixture.schema.slices[name].indices(mixture.schema.width)):
            real = mixture.encoder.columns.index(j) if not variable.discrete else None
            law = _real if real is not None else _count if variable.is_count else _levels
            parts.append(_where_unknown(entries(real), j, law))
        out[name] = _stack(parts, variable.shape)
    return out


def _where_unknown(entries: Entries, j: int, law: Callable[[Entries, int], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Averages the queries that do not give column j to a point; NaN for the others, whose value is known."""
    unknown = entries.conditional.unknown[:, j]
    index = torch.nonzero(unknown)[:, 0]
    if len(index) == len(unknown):
        return law(entries, j)
    some = law(entries.of(index if len(index) else torch.zeros(1, dtype=torch.long, device=unknown.device)), j)
    out = {}
    for name, values in some.items():
        out[name] = values.new_full((len(unknown), *values.shape[1:]), torch.nan)
        out[name][index] = values[: len(index)]
    return out


def weighty(k: Tensor, mean: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The entries without those of no weight, heaviest first, with weights that sum to 1."""
    weight = torch.softmax(log_weight, 1)
    order = weight.argsort(1, descending=True)
    ordered = weight.gather(1, order)
    dropped = 1e-8 if len(k) <= _FEW else 1e-5
    needed = int((ordered.cumsum(1) < 1 - dropped).sum(1).max()) + 1
    order, ordered = order[:, :needed], ordered[:, :needed]
    index = order[..., None].expand(-1, -1, mean.shape[-1])
    return k.gather(1, order), mean.gather(1, index), ordered / ordered.sum(1, keepdim=True)


def _some(loc: Tensor, sd: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Particles resampled systematically to as many as quantiles can be found of."""
    queries, entries = loc.shape
    most = max(32, _MOST // (queries * len(QUANTILES) * 16))
    if entries <= most:
        return loc, sd, weight
    points = (torch.arange(most, device=loc.device) + torch.rand(queries, 1, device=loc.device)) / most
    at = torch.searchsorted(weight.cumsum(1), points.to(weight.dtype)).clamp(max=entries - 1)
    return loc.gather(1, at), sd.gather(1, at), torch.full_like(at, 1 / most, dtype=weight.dtype)


def _error(values: Tensor, weight: Tensor, mean: Tensor, exact: bool) -> Tensor:
    """Standard error of a self-normalised average of conditional means."""
    if exact:
        return torch.zeros_like(mean)
    return ((weight.square() * (values - mean[:, None]).square()).sum(1)).sqrt()


def _levels(entries: Entries, j: int) -> dict[str, Tensor]:
    mixture, k, weight, exact = entries.conditional.mixture, entries.k, entries.weight, entries.exact
    tables = mixture.tables
    at = tables.levels.index(j)
    start, size = tables.starts[at], tables.sizes[at]
    probs = mixture.level_log_probs().detach()[:, start : start + size].exp()[k]
    levels = entries.conditional.evidence.levels
    if levels is not None:
        tilted = probs * levels[:, None, start : start + size].exp()
        probs = tilted / tilted.sum(-1, keepdim=True).clamp(min=1e-300)
    pmf = (weight[..., None] * probs).sum(1)
    error = torch.stack([_error(probs[..., i], weight, pmf[:, i], exact) for i in range(size)], -1)
    out = {"pmf": pmf, "pmf_mcse": error}
    blank = torch.full_like(pmf[:, 0], torch.nan)
    if mixture.schema.columns[j].support.kind == "binary":
        mean = pmf[:, 1]
        quantiles = torch.stack([(pmf[:, 0] < q).double() for q in QUANTILES], 1)
        return out | {"mean": mean, "sd": (mean * (1 - mean)).sqrt(), "mcse": error[:, 1], "quantiles": quantiles}
    return out | {"mean": blank, "sd": blank, "mcse": blank, "quantiles": blank[:, None].expand(-1, len(QUANTILES))}


def _count(entries: Entries, j: int) -> dict[str, Tensor]:
    mixture, k, weight, exact = entries.conditional.mixture, entries.k, entries.weight, entries.exact
    c = mixture.tables.counts.index(j)
    log_mean, log_size = mixture.log_mean[:, c].detach(), mixture.log_size[:, c].detach()
    share = torch.zeros(len(k), len(log_mean), dtype=torch.float64, device=k.device).scatter_add_(1, k, weight)
    likelihood = entries.conditional.evidence.counts.get(j)
    means, variances = log_mean.exp(), log_mean.exp() + (2 * log_mean - log_size).exp()
    reach = float((means + 12 * variances.sqrt()).max()) + 20
    if likelihood is None and reach > _COUNTS:
        means, variances = means.expand(len(k), -1), variances.expand(len(k), -1)
        quantiles = _large_quantiles(share, log_mean, log_size)
    else:
        top = int(reach) if likelihood is None else likelihood.shape[1] - 1
        grid = torch.arange(top + 1, dtype=torch.float64, device=k.device)
        law = negative_binomial(grid, log_mean[:, None], log_size[:, None]).exp()
        if likelihood is None:
            means, variances = means.expand(len(k), -1), variances.expand(len(k), -1)
            pmf = share @ law
        else:  # another query asks what this one knows
            law = law * likelihood.exp()[:, None]
            law = law / law.sum(-1, keepdim=True).clamp(min=1e-300)
            means = law @ grid
            variances = law @ grid.square() - means.square()
            pmf = (share[:, None] @ law)[:, 0]
        quantiles = torch.stack([(pmf.cumsum(1) < q).sum(1).double() for q in QUANTILES], 1)
    mean = (share * means).sum(1)
    variance = (share * (variances + (means - mean[:, None]).square())).sum(1)
    error = _error(means.gather(1, k), weight, mean, exact)
    return {"mean": mean, "sd": variance.clamp(min=0).sqrt(), "mcse": error, "quantiles": quantiles}


def _large_quantiles(share: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """Quantiles of mixtures of counts too large to list, by bisection on their distribution function."""
    from scipy.special import betainc

    mean, size = log_mean.exp().cpu().numpy(), log_size.exp().cpu().numpy()
    spread = np.sqrt(mean + mean**2 / size)
    weight, levels = share.cpu().numpy(), np.array(QUANTILES)
    lower = np.full((len(weight), len(levels)), -1.0)
    upper = np.full(lower.shape, np.ceil((mean + 40 * spread).max()))
    while (upper - lower).max() > 1:
        middle = np.floor((lower + upper) / 2)
        below = (weight[:, None] * betainc(size, middle[..., None] + 1, size / (size + mean))).sum(-1)
        upper, lower = np.where(below >= levels, middle, upper), np.where(below >= levels, lower, middle)
    return torch.as_tensor(upper, device=share.device)


def _real(entries: Entries, j: int) -> dict[str, Tensor]:
    conditional, weight, encoder = entries.conditional, entries.weight, entries.conditional.mixture.encoder
    c = encoder.columns.index(j)
    loc = entries.mean[..., c]
    sd = conditional.covariance[conditional.pattern[:, None], entries.k, c, c].clamp(min=0).sqrt()
    first, second = _moments(encoder, c, loc, sd)
    centre = (weight * first).sum(1)
    variance = (weight * (second + (first - centre[:, None]).square())).sum(1)
    law = (loc, sd, weight) if entries.exact else _some(loc, sd, weight)
    quantiles = encoder.snap_column(c, encoder.decode_column(c, _quantiles(*law)))
    return {
        "mean": centre,
        "sd": variance.clamp(min=0).sqrt(),
        "mcse": _error(first, weight, centre, entries.exact),
        "quantiles": quantiles,
    }


def _moments(encoder: Encoder, c: int, loc: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance in data units of each entry: closed form where decoding is linear, else Gauss-Hermite."""
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
    narrow = variance.sqrt() < 0.75 * cell.delta
    variance = variance + cell.delta**2 / 12
    if not bool(narrow.any()):
        return mean, variance
    # A wide law rounds to its own mean, and a variance greater by Sheppard's correction, with an error of
    # exp(-2 (pi sd / delta)^2); a narrow one sits on a few grid values: sum over the eleven nearest.
    middle = encoder.snap_column(c, mean[narrow])
    offsets = torch.arange(-5, 6, dtype=torch.float64, device=loc.device) * cell.delta
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
    """Quantiles of mixtures of normals `[Q, J]` at QUANTILES, `[Q, 7]`.

    Newton's method kept inside a bracket, each quantile for itself until it is found. A step that does not halve the
    error is followed by a bisection: between separated components the density says nothing of the way.
    """
    queries, levels = len(loc), torch.tensor(QUANTILES, dtype=loc.dtype, device=loc.device)
    spread = sd.clamp(min=1e-12)
    centre = (weight * loc).sum(1, keepdim=True)
    wide = ((weight * (spread.square() + (loc - centre).square())).sum(1, keepdim=True)).sqrt()
    lower = (loc - 9 * spread).amin(1, keepdim=True).expand(-1, len(levels)).flatten()
    upper = (loc + 9 * spread).amax(1, keepdim=True).expand(-1, len(levels)).flatten()
    level = levels.repeat(queries)
    x = torch.clamp((centre + wide * torch.special.ndtri(levels)).flatten(), lower, upper)
    query = torch.arange(queries, device=loc.device).repeat_interleave(len(levels))
    out = x.clone()
    place = torch.arange(len(x), device=loc.device)
    error = torch.ones_like(x)
    for _ in range(_NEWTON):
        z = (x[:, None] - loc[query]) / spread[query]
        share = weight[query]
        below = 0.5 + 0.5 * (share * torch.erf(z * _ROOT_HALF)).sum(-1) - level
        density = (share * torch.exp(-0.5 * z.square()) / spread[query]).sum(-1) * _PEAK
        lower, upper = torch.where(below > 0, lower, x), torch.where(below > 0, x, upper)
        found = below.abs() <= _LEVEL_ERROR
        step = x - below / density.clamp(min=1e-300)
        inside = (step > lower) & (step < upper)
        trusted = inside & (below.abs() < error / 2)
        error = torch.where(trusted, below.abs(), 1.0)
        out[place] = torch.where(found & ~inside, x, step)
        x = torch.where(trusted, step, (lower + upper) / 2)
        open_ = torch.nonzero(~found)[:, 0]
        if not len(open_):
            break
        x, lower, upper, level, error = x[open_], lower[open_], upper[open_], level[open_], error[open_]
        query, place = query[open_], place[open_]
    return out.reshape(queries, len(levels))


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
