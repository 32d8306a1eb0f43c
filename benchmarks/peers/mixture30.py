"""A mixture of 30 full-covariance Gaussians x categoricals by plain EM, asked through its exact conditionals."""

from __future__ import annotations

from benchmarks.peers import Answer, Codes, Floats
from benchmarks.reference import conditional_mixture, mixture_em


def fit(reals: Floats, codes: Codes, levels: Codes, seed: int) -> Answer:
    mixture = mixture_em.fit(reals, codes, levels, components=30, iterations=60, ridge=1e-3, seed=seed)

    def answer(asked, labels, observed, draws, seed):
        return conditional_mixture.answer(mixture, asked, labels, observed, draws, seed)

    return answer
