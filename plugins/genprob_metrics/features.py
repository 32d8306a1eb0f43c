"""Rows as points of the space in which samples are compared: as they are, or as a classifier trained here sees them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from genprob.data.schema import Schema
from genprob.errors import DataError, UsageError
from genprob.joint import Joint
from genprob.metrics.asking import table
from genprob.metrics.scale import deviations, points

_HIDDEN = (64, 64)


class Features:
    """Maps flat rows `[row, width]` to points `[row, feature]`.

    Without a label these are the rows themselves, numbers in standard deviations and labels as unit vectors; holes
    stay NaN. With one they are what the last hidden layer of a classifier says, which is trained on `train` to tell
    the label from all other variables: differences that do not matter to it count for little. Holes are then shown
    as holes.

    Arguments:
        schema: of the rows.
        train: rows that scales, and the classifier, are learned from.
        label: name of a categorical or binary variable, None for the rows as they are.
        seed: of the classifier.
    """

    def __init__(self, schema: Schema, train: np.ndarray, *, label: str | None, seed: int) -> None:
        self.schema, self.label, self.sd = schema, label, deviations(train)
        self.accuracy = float("nan")
        if label is None:
            return
        self._column = _labelled(schema, label)
        known = ~np.isnan(train[:, self._column])
        if len(np.unique(train[known, self._column])) < 2:
            raise DataError(f"label {label!r}: the rows to learn it from hold fewer than two of its levels")
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        self._network = MLPClassifier(_HIDDEN, max_iter=60, early_stopping=False, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the features of an unfinished net are features
            self._network.fit(self._shown(train[known]), train[known, self._column])
        self.accuracy = float(self._network.score(self._shown(train[known]), train[known, self._column]))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if self.label is None:
            return points(self.schema, values, self.sd)
        layer = self._shown(values)
        for weight, bias in zip(self._network.coefs_[:-1], self._network.intercepts_[:-1], strict=True):
            layer = np.maximum(layer @ weight + bias, 0.0)
        return layer

    def attrs(self) -> dict[str, str | float]:
        """What the space is, for the record."""
        if self.label is None:
            return {"features": "rows: numbers in standard deviations, labels as unit vectors"}
        return {"features": f"classifier of {self.label}", "classifier_accuracy": self.accuracy}

    def _shown(self, values: np.ndarray) -> np.ndarray:
        others = values.copy()
        others[:, self._column] = np.nan
        flat = points(self.schema, others, self.sd)
        return np.concatenate([np.nan_to_num(flat), np.isnan(flat)], 1)


def seen(
    joint: Joint, real: np.ndarray, fake: np.ndarray, train: Any, label: str | None, seed: int
) -> tuple[np.ndarray, np.ndarray, Features]:
    """Points of rows and of draws, and the space they are in, learned from `train` or else from the rows."""
    learned = real if train is None else table(joint, train).values
    space = Features(joint.schema, learned, label=label, seed=seed)
    return space(real), space(fake), space


def _labelled(schema: Schema, label: str) -> int:
    if label not in schema:
        raise UsageError(f"label={label!r}: no such variable; there are {', '.join(schema.names)}")
    variable = schema[label]
    if variable.cardinality is None or variable.size != 1:
        raise UsageError(f"label={label!r} is {variable.support.text()}; a classifier needs one categorical or binary")
    return schema.slices[label].start
