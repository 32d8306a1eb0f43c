"""Binaries and categories of particles: what each says of the levels, with the evidence, drawn or averaged."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genprob.nets.heads import Heads
from genprob.query.batch import NOTHING, POINT, QueryBatch
from genprob.query.weighted import of_levels
from genprob.results.record import Marginal


def levelled(heads: Heads, shifted: Tensor, log_weight: Tensor, queries: QueryBatch, name: str) -> Marginal:
    """The marginal of a variable with levels: its law given each particle, averaged; nothing is drawn.

    Arguments:
        heads: the laws.
        shifted: `[Q, J, heads.width]`, what the decoder says of each particle.
        log_weight: `[Q, J]`, evidence included.
    """
    variable, columns = queries.schema[name], queries.schema.slices[name]
    weight = torch.softmax(torch.where(torch.isfinite(log_weight).any(1, keepdim=True), log_weight, 0.0).double(), 1)
    if variable.support.kind == "binary":
        places = [heads.binaries.index(j) for j in range(columns.start, columns.stop)]
        odds = heads.logits(shifted)[..., places].double()
        one = torch.sigmoid(odds + _told_odds(queries, columns).to(odds.device)[:, None])
        mean = torch.einsum("qj,qjc->qc", weight, one).clamp(0, 1)
        error = _error(weight, one, mean)
        pmf, pmf_error = torch.stack([1 - mean, mean], -1), torch.stack([error, error], -1)
    else:
        found = []
        for j in range(columns.start, columns.stop):
            law = torch.softmax(_told(heads, shifted, queries, j), -1)
            share = torch.einsum("qj,qjl->ql", weight, law)
            found.append((share, _error(weight, law, share)))
        pmf, pmf_error = (torch.stack(part, 1) for part in zip(*found, strict=True))
    shape = (len(queries), *variable.shape)
    return of_levels(variable, pmf.cpu().numpy().reshape(*shape, -1), pmf_error.cpu().numpy().reshape(*shape, -1))


def level_scores(heads: Heads, shifted: Tensor, queries: QueryBatch | None, j: int, kind: int) -> Tensor:
    """log p(level | particle) plus the log-likelihood of the evidence, `[Q, J, levels]`."""
    if j in heads.levels:
        scores = heads.level_log_probs(shifted, j)
    else:
        logit = heads.logits(shifted)[..., heads.binaries.index(j)]
        scores = torch.stack([torch.nn.functional.logsigmoid(-logit), torch.nn.functional.logsigmoid(logit)], -1)
    if queries is None or kind == NOTHING:
        return scores
    said = np.arange(scores.shape[-1]) == queries.a[:, j, None]
    likelihood = said if kind == POINT else queries.likelihoods[j]
    with np.errstate(divide="ignore"):
        told = torch.as_tensor(np.log(likelihood.astype(np.float64)), device=shifted.device)
    return scores + told[:, None]


def draw_level(scores: Tensor) -> Tensor:
    """One level for each `[..., levels]` of unnormalised log-probabilities, float64."""
    safe = torch.where(torch.isfinite(scores).any(-1, keepdim=True), scores, 0.0)
    cumulative = torch.softmax(safe, -1).cumsum(-1)[..., :-1]
    u = torch.rand(*scores.shape[:-1], 1, dtype=torch.float64, device=scores.device)
    return (u > cumulative).sum(-1).double()


def _told(heads: Heads, shifted: Tensor, queries: QueryBatch, j: int) -> Tensor:
    """log p(level | particle) of one column plus the log-likelihood of what each query is told, `[Q, J, levels]`."""
    out = torch.empty(*shifted.shape[:2], heads.levels[j], dtype=torch.float64, device=shifted.device)
    for kind in np.unique(queries.kind[:, j]).tolist():
        rows = np.flatnonzero(queries.kind[:, j] == kind)
        out[rows] = level_scores(heads, shifted[rows], queries.take(rows), j, kind).double()
    return torch.where(torch.isfinite(out).any(-1, keepdim=True), out, 0.0)


def _told_odds(queries: QueryBatch, columns: slice) -> Tensor:
    """What the evidence adds to the log-odds of binaries, `[Q, columns]`; infinite where it says all."""
    kind, a = queries.kind[:, columns], queries.a[:, columns]
    out = np.where(kind == POINT, np.where(a == 1, np.inf, -np.inf), 0.0)
    for c, j in enumerate(range(columns.start, columns.stop)):
        softer = (kind[:, c] != NOTHING) & (kind[:, c] != POINT)
        if softer.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                odds = np.log(queries.likelihoods[j].astype(np.float64))
            out[softer, c] = np.nan_to_num((odds[:, 1] - odds[:, 0])[softer], nan=0.0, posinf=np.inf, neginf=-np.inf)
    return torch.as_tensor(out)


def _error(weight: Tensor, value: Tensor, mean: Tensor) -> Tensor:
    """Monte-Carlo error of the weighted mean of `value [Q, J, size]`, `[Q, size]`."""
    return ((weight[..., None] * (value - mean[:, None])) ** 2).sum(1).sqrt()
