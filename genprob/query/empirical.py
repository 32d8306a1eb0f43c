"""Marginals counted from draws, for strategies that have nothing better."""

from __future__ import annotations

import numpy as np

from genprob.data.schema import Schema
from genprob.results.record import QUANTILES, Marginal


def marginals(schema: Schema, values: np.ndarray, targets: tuple[str, ...]) -> dict[str, Marginal]:
    """Of equally weighted, independent draws `[queries, draws, width]`; Monte-Carlo errors are sd / sqrt(draws)."""
    queries, draws, _ = values.shape
    out: dict[str, Marginal] = {}
    for name in targets:
        variable = schema[name]
        x = values[:, :, schema.slices[name]].reshape(queries, draws, *variable.shape)
        pmf = pmf_error = None
        if variable.cardinality is not None:
            levels = [np.where(np.isnan(x), np.nan, x == level) for level in range(variable.cardinality)]
            pmf = np.stack([hit.mean(1) for hit in levels], -1)
            pmf_error = np.sqrt(pmf * (1 - pmf) / draws)
        if variable.support.kind == "categorical":
            blank = np.full((queries, *variable.shape), np.nan)
            quantiles = np.full((queries, len(QUANTILES), *variable.shape), np.nan)
            out[name] = Marginal(blank, blank, blank, quantiles, pmf, pmf_error)
            continue
        sd = x.std(1)
        quantiles = np.moveaxis(np.quantile(x, QUANTILES, axis=1, method="inverted_cdf"), 0, 1)
        out[name] = Marginal(x.mean(1), sd, sd / np.sqrt(draws), quantiles, pmf, pmf_error)
    return out
