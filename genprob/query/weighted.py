"""Marginals of weighted particles."""

from __future__ import annotations

import numpy as np

from genprob.data.schema import Schema, Variable
from genprob.results.record import QUANTILES, Marginal


def marginals(
    schema: Schema,
    values: np.ndarray,
    log_weight: np.ndarray,
    targets: tuple[str, ...],
    family: np.ndarray | None = None,
) -> dict[str, Marginal]:
    """Each target's marginal, of draws `[Q, J, draws, width]` of J particles with `log_weight [Q, J]`.

    Arguments:
        family: `[Q, J]` integers below J; particles of one family came from one ancestor and err together. None
            where all are independent.
    """
    peak = log_weight.max(1, keepdims=True)
    weight = np.exp(np.where(np.isfinite(peak), log_weight - np.where(np.isfinite(peak), peak, 0.0), 0.0))
    weight = weight / weight.sum(1, keepdims=True)
    return {name: _marginal(schema, name, values, weight, family) for name in targets}


def of_levels(variable: Variable, pmf: np.ndarray, pmf_error: np.ndarray) -> Marginal:
    """The marginal of a variable with levels whose probabilities `[Q, *event, level]` are averages of laws."""
    blank = np.full(pmf.shape[:-1], np.nan)
    quantiles = np.full((len(pmf), len(QUANTILES), *variable.shape), np.nan)
    if variable.support.kind == "categorical":
        return Marginal(blank, blank, blank, quantiles, pmf, pmf_error, rao_blackwell=True)
    zero, one = pmf[..., 0], pmf[..., 1]
    quantiles = np.stack([(zero < level - 1e-12).astype(np.float64) for level in QUANTILES], 1)
    return Marginal(one, np.sqrt(zero * one), pmf_error[..., 1], quantiles, pmf, pmf_error, rao_blackwell=True)


def error_of_mean(weight: np.ndarray, away: np.ndarray, family: np.ndarray | None) -> np.ndarray:
    """Monte-Carlo error `[Q, size]` of a weighted mean from which particles are `away [Q, J, size]`.

    The root of the sum of squares of weighted deviations, those of a family added first (Chan and Lai 2013, A general
    theory of particle filters in hidden Markov models and some applications).
    """
    pull = weight[..., None] * away
    if family is not None:
        together = np.zeros_like(pull)
        np.add.at(together, (np.arange(len(pull))[:, None], family), pull)
        pull = together
    return np.sqrt((pull**2).sum(1))


def _marginal(schema: Schema, name: str, values: np.ndarray, weight: np.ndarray, family: np.ndarray | None) -> Marginal:
    """Of draws `[Q, J, draws, width]`, J particles weighted by `weight [Q, J]`."""
    variable = schema[name]
    x = values[..., schema.slices[name]]
    queries, particles, draws, size = x.shape

    def average(of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weighted mean of `[Q, J, size]` and its Monte-Carlo error."""
        mean = np.einsum("qj,qjs->qs", weight, of)
        return mean, error_of_mean(weight, of - mean[:, None], family)

    shape = (queries, *variable.shape)
    pmf = pmf_error = None
    if variable.cardinality is not None:
        found = [average((x == level).mean(2)) for level in range(variable.cardinality)]
        pmf = np.stack([p.reshape(shape) for p, _ in found], -1)
        pmf_error = np.stack([e.reshape(shape) for _, e in found], -1)
    if variable.support.kind == "categorical":
        blank = np.full(shape, np.nan)
        return Marginal(
            blank, blank, blank, np.full((queries, len(QUANTILES), *variable.shape), np.nan), pmf, pmf_error
        )
    mean, error = average(x.mean(2))
    sd = np.sqrt(np.einsum("qj,qjds->qs", weight / draws, (x - mean[:, None, None]) ** 2))
    flat = x.reshape(queries, particles * draws, size)
    share = np.repeat(weight / draws, draws, axis=1)
    order = np.argsort(flat, 1, kind="stable")
    cumulative = np.take_along_axis(np.broadcast_to(share[..., None], flat.shape), order, 1).cumsum(1)
    ordered = np.take_along_axis(flat, order, 1)
    at = [(cumulative < level * cumulative[:, -1:] - 1e-12).sum(1).clip(max=flat.shape[1] - 1) for level in QUANTILES]
    quantiles = np.stack([np.take_along_axis(ordered, a[:, None], 1)[:, 0] for a in at], 1)
    return Marginal(
        mean.reshape(shape), sd.reshape(shape), error.reshape(shape),
        quantiles.reshape(queries, len(QUANTILES), *variable.shape), pmf, pmf_error,
    )  # fmt: skip
