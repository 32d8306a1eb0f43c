"""Expectation and maximisation of a mixture on sufficient statistics, exact with missing cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob_mixture import gaussian
from genprob_mixture.rows import Rows, encode
from genprob_mixture.tables import fit_size, negative_binomial

if TYPE_CHECKING:
    from genprob_mixture.mixture import Mixture

_ROWS = 65_536
"""Rows whose responsibilities are held at once."""
_SCORES = 1_000_000
"""Scores of rows under masks held at once."""


def count_table(mixture: Mixture, count_values: list[Tensor]) -> Tensor:
    """log p(n | k) at the distinct values of each count column, `[K, U]`."""
    parts = [
        negative_binomial(values, mixture.log_mean[:, c, None], mixture.log_size[:, c, None])
        for c, values in enumerate(count_values)
    ]
    return torch.cat(parts, 1) if parts else mixture.logits.new_zeros(len(mixture.logits), 0)


@dataclass(frozen=True)
class _Stretch:
    """Consecutive sorted rows of whole patterns (or a piece of one), with the log p(k, row) of each component."""

    first: int
    last: int
    bounds: list[int]
    swept: gaussian.Swept
    phi: Tensor | None
    joint: Tensor


def _stretches(mixture: Mixture, rows: Rows) -> Iterator[_Stretch]:
    """All rows, a stretch that fits in memory at a time."""
    mean, covariance, prior = mixture.mean.detach(), mixture.covariance().detach(), mixture.weights().detach()
    table = torch.cat([mixture.level_log_probs().detach(), count_table(mixture, rows.count_values).detach()], 1)
    d = mean.shape[1]
    for part in gaussian.chunks(len(rows.patterns), len(mean), d):
        swept = gaussian.sweep(covariance, rows.patterns.masks[part])
        theta = gaussian.weights(mean, swept) if d <= gaussian.WIDE else None
        for first, last, bounds, local in _ranges(rows.patterns.starts, part):
            y = rows.y[first:last]
            phi = rows.phi[first:last] if rows.phi is not None else gaussian.features(y) if theta is not None else None
            one = gaussian.Swept(swept.matrix[:, :, local], swept.logdet[local], swept.masks[local])
            if theta is not None and phi is not None:
                joint = gaussian.apply(phi, theta[:, local], bounds)
            else:
                joint = gaussian.log_density_wide(y, bounds, mean, covariance, one.masks)
            joint += prior
            if table.shape[1]:
                joint.addmm_(rows.hits[first:last], table.T)
            yield _Stretch(first, last, bounds, one, phi, joint)


@torch.no_grad()
def expectation(mixture: Mixture, rows: Rows) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Expected sufficient statistics `weight [K]`, `first [K, d]`, `second [K, d, d]`, `hits [K, levels + counts]`.

    Responsibilities are formed pattern by pattern and folded into statistics at once, so that memory stays bounded.
    """
    mean = mixture.mean.detach()
    moments = gaussian.Moments.zeros(len(mean), mean.shape[1], mean)
    hits = mean.new_zeros(len(mean), rows.hits.shape[1])
    total = mean.new_zeros(())
    for part in _stretches(mixture, rows):
        peak = part.joint.amax(1, keepdim=True)
        responsibility = part.joint.sub_(peak).exp_()
        mass = responsibility.sum(1, keepdim=True)
        responsibility /= mass
        total += (peak + mass.log()).sum()
        moments.add(responsibility, rows.y[part.first : part.last], part.bounds, mean, part.swept, part.phi)
        hits.addmm_(responsibility.T, rows.hits[part.first : part.last])
    n = len(rows)
    statistics = {"weight": moments.weight, "first": moments.first, "second": moments.second, "hits": hits}
    likelihood = (total + rows.log_jacobian.sum()) / n
    objective = likelihood + log_prior(mixture, mixture.covariance().detach()) / n
    return statistics, {"log_likelihood": likelihood, "objective": objective}


@torch.no_grad()
def log_density(mixture: Mixture, rows: Rows) -> Tensor:
    """log p(known cells) of each row in the batch's order, data units, `[rows]`."""
    out = rows.log_jacobian.clone()
    for part in _stretches(mixture, rows):
        out[rows.patterns.order[part.first : part.last]] += torch.logsumexp(part.joint, 1)
    return out


@torch.no_grad()
def log_density_masked(mixture: Mixture, batch: Batch, masks: Tensor) -> Tensor:
    """`log_density` of the same rows under each of `[P, width]` masks, `[P, rows]`.

    The coefficients of a mask vanish at what it hides, so the features of the rows are formed once for all masks.
    """
    n, components = len(batch), len(mixture.logits)
    mean, covariance = mixture.mean.detach(), mixture.covariance().detach()
    d = mean.shape[1]
    if d > gaussian.WIDE:
        seen = [Batch(batch.schema, batch.values, batch.observed & mask, batch.index, n) for mask in masks]
        return torch.stack([log_density(mixture, encode(part, mixture.encoder, mixture.tables)) for part in seen])
    rows = encode(batch, mixture.encoder, mixture.tables)
    back = torch.argsort(rows.patterns.order)
    y, hits = rows.y[back], rows.hits[back]
    phi = gaussian.features(y)
    table = torch.cat([mixture.level_log_probs().detach(), count_table(mixture, rows.count_values).detach()], 1)
    columns = mixture.tables.levels + mixture.tables.counts
    widths = mixture.tables.sizes + [len(v) for v in rows.count_values]
    pieces = zip(hits.split(widths, 1), table.split(widths, 1), strict=True) if columns else ()
    parts = [h @ t.T for h, t in pieces]  # log p of each discrete column, [rows, K] each
    discrete = torch.stack(parts).reshape(len(columns), -1) if parts else None
    shown = masks.to(torch.float64)
    out = shown[:, mixture.encoder.columns] @ rows.column_log_jacobian.T
    prior = mixture.weights().detach()
    step = max(1, min(512, _SCORES // (n * components)))
    for first in range(0, len(masks), step):
        some = slice(first, first + step)
        joint = prior.expand(len(shown[some]), n, components).clone()
        if d:
            theta = gaussian.weights(mean, gaussian.sweep(covariance, masks[some][:, mixture.encoder.columns]))
            joint += (phi @ theta.flatten(1)).reshape(n, -1, components).transpose(0, 1)
        if discrete is not None:
            joint += (shown[some][:, columns] @ discrete).reshape(joint.shape)
        out[some] += torch.logsumexp(joint, -1)
    return out


def _ranges(starts: list[int], part: slice) -> Iterator[tuple[int, int, list[int], slice]]:
    """Row ranges of a chunk of patterns: whole patterns together, long patterns cut, each with local offsets."""
    p = part.start
    while p < part.stop:
        q = p + 1
        while q < part.stop and starts[q + 1] - starts[p] <= _ROWS:
            q += 1
        for first in range(starts[p], max(starts[q], starts[p] + 1), _ROWS):
            last = min(starts[q], first + _ROWS)
            bounds = [min(max(s, first), last) - first for s in starts[p : q + 1]]
            yield first, last, bounds, slice(p - part.start, q - part.start)
        p = q


def log_prior(mixture: Mixture, covariance: Tensor) -> Tensor:
    """Log prior density of the parameters, up to a constant: what makes EM a maximum a posteriori method.

    Covariances: inverse Wishart about the common covariance, `shrinkage` pseudo-rows each. Tables and counts:
    `smoothing` pseudo-rows of the marginal law.
    """
    out = covariance.new_zeros(())
    d = covariance.shape[-1]
    if d and mixture.shrinkage:
        factor = torch.linalg.cholesky(covariance)
        logdet = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        trace = torch.cholesky_solve(mixture.common.expand_as(covariance), factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        out = out - 0.5 * mixture.shrinkage * (logdet + trace - torch.logdet(mixture.common) - d).sum()
    if mixture.smoothing:
        out = out + mixture.smoothing * (mixture.base * mixture.level_log_probs().detach()).sum()
        if mixture.tables.counts:
            law = negative_binomial(mixture.count_mean, mixture.log_mean, mixture.log_size)
            out = out + mixture.smoothing * law.sum()
    return out


@torch.no_grad()
def maximisation(mixture: Mixture, statistics: dict[str, Tensor], count_values: list[Tensor]) -> dict[str, Tensor]:
    """Parameters that maximise the expected complete log-likelihood plus the log prior."""
    weight = statistics["weight"]
    n = weight.clamp(min=1e-10)
    out = {"logits": torch.log(n / n.sum())}
    d = mixture.mean.shape[1]
    if d:
        # A component that lost its rows keeps its place and takes the common covariance.
        alive = weight > 1e-8
        mean = torch.where(alive[:, None], statistics["first"] / n[:, None], mixture.mean)
        scatter = statistics["second"] - n[:, None, None] * mean[:, :, None] * mean[:, None, :]
        scatter = torch.where(alive[:, None, None], (scatter + scatter.mT) / 2, 0.0)
        nu = mixture.shrinkage
        pooled = (scatter + nu * mixture.common) / (torch.where(alive, n, 0.0) + nu).clamp(min=1e-10)[:, None, None]
        out["mean"] = mean
        out |= covariance_parameters(mixture, pooled)
        if nu:
            out["common"] = _common(mixture, out)
    if mixture.tables.width:
        hits = statistics["hits"][:, : mixture.tables.width] + mixture.smoothing * mixture.base
        out["table"] = torch.log(hits.clamp(min=1e-12))
    if mixture.tables.counts:
        out |= _counts(mixture, statistics["hits"][:, mixture.tables.width :], count_values)
    return out


def _common(mixture: Mixture, parameters: dict[str, Tensor]) -> Tensor:
    """The common covariance of greatest prior density given the components': their harmonic mean."""
    if "factor" in parameters:
        factor = parameters["factor"]
        covariance = torch.tril(factor, -1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).exp())
        precision = torch.cholesky_inverse(covariance)
    else:
        covariance = torch.diag_embed(torch.exp(2 * parameters["log_scale"]))
        if "loading" in parameters:
            covariance = covariance + parameters["loading"] @ parameters["loading"].mT
        precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    common = torch.cholesky_inverse(torch.linalg.cholesky(precision.mean(0)))
    return (common + common.mT) / 2


def covariance_parameters(mixture: Mixture, target: Tensor) -> dict[str, Tensor]:
    """Raw parameters of the covariances nearest to `target [K, d, d]` in the form and above the floor asked."""
    floor = mixture.floor
    if mixture.covariance_form == "full":
        # max of -log|S| - tr(S^-1 T) under S >= diag(floor): clip the eigenvalues of the whitened target
        root = floor.sqrt()
        factor = target.clone()
        low = torch.linalg.cholesky_ex(target - torch.diag(floor)).info != 0  # most lie above the floor already
        if bool(low.any()):
            values, vectors = torch.linalg.eigh(target[low] / (root[:, None] * root))
            clipped = (vectors * values.clamp(min=1.0)[:, None, :]) @ vectors.mT
            factor[low] = clipped * (root[:, None] * root)
        factor = torch.linalg.cholesky(factor)
        diagonal = torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).log())
        return {"factor": torch.tril(factor, -1) + diagonal}
    if mixture.covariance_form == "diagonal":
        return {"log_scale": 0.5 * torch.log(torch.maximum(target.diagonal(dim1=-2, dim2=-1), floor))}
    return _factor_analysis(mixture, target, floor)


def _factor_analysis(mixture: Mixture, target: Tensor, floor: Tensor) -> dict[str, Tensor]:
    """Two EM steps of factor analysis on the target covariance (Rubin and Thayer 1982), from where it stands."""
    loading, noise = mixture.loading.clone(), torch.exp(2 * mixture.log_scale)
    fresh = loading.abs().amax((1, 2)) < 1e-12
    if bool(fresh.any()):
        values, vectors = torch.linalg.eigh(target[fresh])
        r = mixture.rank
        rest = values[:, :-r].mean(1).clamp(min=0) if values.shape[1] > r else values[:, 0] * 0
        start = vectors[:, :, -r:] * (values[:, -r:] - rest[:, None]).clamp(min=1e-4).sqrt()[:, None, :]
        loading[fresh] = start
        noise[fresh] = torch.maximum((target[fresh] - start @ start.mT).diagonal(dim1=-2, dim2=-1), floor)
    eye = torch.eye(mixture.rank, dtype=target.dtype, device=target.device)
    for _ in range(2):
        scaled = loading / noise[:, :, None]
        beta = torch.linalg.solve(eye + loading.mT @ scaled, scaled.mT)
        cross = target @ beta.mT
        loading = torch.linalg.solve(eye - beta @ loading + beta @ cross, cross, left=False)
        noise = torch.maximum((target - loading @ cross.mT).diagonal(dim1=-2, dim2=-1), floor)
    return {"loading": loading, "log_scale": 0.5 * torch.log(noise)}


def _counts(mixture: Mixture, hits: Tensor, count_values: list[Tensor]) -> dict[str, Tensor]:
    means, sizes = [], []
    for c, (values, hist) in enumerate(zip(count_values, hits.split([len(v) for v in count_values], 1), strict=True)):
        prior = mixture.count_mean[c]
        hist = torch.cat([hist, hist.new_full((len(hist), 1), mixture.smoothing)], 1)
        values = torch.cat([values, prior[None]])
        mean = (hist @ values / hist.sum(1).clamp(min=1e-10)).clamp(min=1e-6)
        means.append(torch.log(mean))
        sizes.append(fit_size(hist, values, means[-1], mixture.log_size[:, c]))
    return {"log_mean": torch.stack(means, 1), "log_size": torch.stack(sizes, 1)}
