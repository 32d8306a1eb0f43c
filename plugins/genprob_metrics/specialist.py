"""Boosted trees that predict one column from all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from genprob.data.schema import Schema
from genprob.errors import DataError, UsageError

_MOST_CATEGORIES = 255
"""That scikit-learn's trees take as such; more are taken as numbers."""


def specialist(
    kind: str, schema: Schema, train: np.ndarray, column: int, levels: np.ndarray, rounds: int, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains on `[row, width]` values; what it returns predicts from such rows.

    Of a number `[row, level]` quantiles at `levels`, ascending; of a label `[row, code]` probabilities.
    """
    known = ~np.isnan(train[:, column])
    variable = schema.columns[column]
    if known.sum() < 2:
        raise DataError(f"variable {variable.name!r}: fewer than two training rows know it")
    others = np.delete(np.arange(schema.width), column)
    x, y = train[np.ix_(known, others)], train[known, column]
    labels = np.array([0 < (schema.columns[j].cardinality or 0) <= _MOST_CATEGORIES for j in others])
    make = {"boosting": _boosting, "lightgbm": _lightgbm}[kind]
    if variable.cardinality is None:
        trees = [make(x, y, labels, rounds, seed, float(level)) for level in levels]
        # Regressions of different levels may cross; sorted they score no worse.
        return lambda rows: np.sort(np.stack([tree.predict(rows[:, others]) for tree in trees], 1), axis=1)
    codes, cardinality = np.unique(y).astype(int), variable.cardinality
    if len(codes) == 1:
        return lambda rows: np.tile(np.eye(cardinality)[codes[0]], (len(rows), 1))
    tree = make(x, y.astype(int), labels, rounds, seed, None)

    def probabilities(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), cardinality))
        out[:, codes] = tree.predict_proba(rows[:, others])
        return out

    return probabilities


def _boosting(x: np.ndarray, y: np.ndarray, labels: np.ndarray, rounds: int, seed: int, level: float | None) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    common: dict[str, Any] = {"max_iter": rounds, "categorical_features": labels, "random_state": seed}
    if level is None:
        return HistGradientBoostingClassifier(**common).fit(x, y)
    return HistGradientBoostingRegressor(loss="quantile", quantile=level, **common).fit(x, y)


def _lightgbm(x: np.ndarray, y: np.ndarray, labels: np.ndarray, rounds: int, seed: int, level: float | None) -> Any:
    try:
        import lightgbm  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UsageError(
            "specialist=lightgbm: LightGBM is not installed; install it, or use specialist=boosting"
        ) from None
    common: dict[str, Any] = {"n_estimators": rounds, "random_state": seed, "verbosity": -1, "n_jobs": 1}
    trees = (
        lightgbm.LGBMClassifier(**common)
        if level is None
        else lightgbm.LGBMRegressor(objective="quantile", alpha=level, **common)
    )
    return trees.fit(x, y, categorical_feature=np.flatnonzero(labels).tolist())
