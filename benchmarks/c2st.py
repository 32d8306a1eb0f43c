"""The classifier two-sample test as the literature on simulators reports it."""

from __future__ import annotations

import numpy as np

FOLDS, TREES = 5, 100


def accuracy(first: np.ndarray, second: np.ndarray, seed: int, trees: int = TREES) -> float:
    """Mean accuracy over folds of a random forest that tells `[n, d]` from `[n, d]`, columns standardised by `first`.

    1/2 where it cannot. The forest and the folds are those of the package sbi, which Gloeckler et al. (2024,
    All-in-one simulation-based inference) score by; `genprob.metrics.two_sample` has boosted trees and a p-value.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import KFold, cross_val_score

    centre, scale = first.mean(axis=0), np.maximum(first.std(axis=0), 1e-12)
    rows = (np.concatenate([first, second]) - centre) / scale
    label = np.repeat([0, 1], [len(first), len(second)])
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    forest = RandomForestClassifier(trees, random_state=seed)
    return float(cross_val_score(forest, rows, label, cv=folds).mean())
