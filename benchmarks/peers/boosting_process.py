"""Run by the environment's own Python: `python boosting_process.py QUESTIONS.npz ANSWERS.npz`.

A specialist for each task: one column from others, by LightGBM. Numbers by a booster for each quantile, labels by a
classifier. Leaves and rounds, and whether draws are moved to the nearest value seen in training, are chosen on the
last fifth of the training rows; then all of these train. A pair is asked as a chain: the first column without the
second, then the second with draws of the first.
"""

from __future__ import annotations

import sys
import time

import lightgbm
import numpy as np
from inversion import invert, snapped

LEAVES = (7, 31)
ROUNDS = (12, 25, 50, 100, 200)
RATE = 0.15
JUDGED = np.array([0.1, 0.5, 0.9])
"""Levels at which leaves and rounds of the quantile boosters are chosen."""


def main(questions: str, answers: str) -> None:
    with np.load(questions) as given:
        train, asked, labels = given["train"], given["asked"], given["labels"]
        levels, (draws, paired), seed = given["levels"], given["draws"].tolist(), int(given["seed"])
        pairs = given["pairs"]
    out: dict[str, np.ndarray] = {}
    specialists = {}
    for column in range(train.shape[1]):
        begun = time.process_time()
        specialist = Specialist(train, labels, column, [], levels, seed)
        specialists[column] = specialist
        rng = np.random.default_rng([seed, column])
        if labels[column]:
            out[f"told_{column}"] = specialist.predict(asked)[0]
        else:
            out[f"told_{column}"] = specialist.draw(asked, draws, rng)
        out[f"seconds_{column}"] = np.array(time.process_time() - begun)
        out[f"chosen_{column}"] = np.array([specialist.leaves, specialist.rounds, specialist.snap])
        print(f"column {column}: {specialist.leaves} leaves, {specialist.rounds} rounds", file=sys.stderr, flush=True)
    for number, (first, second) in enumerate(pairs):
        begun = time.process_time()
        rng = np.random.default_rng([seed, len(train), number])
        alone = Specialist(train, labels, first, [second], levels, seed)
        begins = alone.draw(asked, paired, rng)
        filled = np.repeat(asked, paired, axis=0)
        filled[:, first] = begins.reshape(-1)
        ends = specialists[second].draw(filled, 1, rng).reshape(begins.shape)
        out[f"pair_{number}"] = np.stack([begins, ends], -1)
        out[f"pair_seconds_{number}"] = np.array(time.process_time() - begun)
    np.savez(answers, **out)


class Specialist:
    """One column from the others but those left out."""

    def __init__(self, train, labels, column, left_out, levels, seed):
        self.others = np.setdiff1d(np.arange(train.shape[1]), [column, *left_out])
        self.label, self.levels, self.seed = bool(labels[column]), levels, seed
        self.categorical = np.flatnonzero(labels[self.others]).tolist()
        known = ~np.isnan(train[:, column])
        self.x, self.y = train[known][:, self.others], train[known, column]
        self.classes = int(self.y.max()) + 1 if self.label else 0
        self.grid = np.unique(self.y)
        self.leaves, self.rounds, self.snap = self.choose()
        self.boosters = self.train(self.x, self.y, self.leaves, self.rounds, levels)

    def choose(self):
        cut = len(self.y) * 4 // 5
        learn, judge = slice(cut), slice(cut, None)
        best = (np.inf, 0, 0, False)
        uniform = np.random.default_rng(self.seed).random((len(self.y) - cut, 100))
        for leaves in LEAVES:
            boosters = self.train(self.x[learn], self.y[learn], leaves, ROUNDS[-1], JUDGED)
            for rounds in ROUNDS:
                told = self.told(boosters, self.x[judge], rounds)
                if self.label:
                    share = told[0][np.arange(len(told[0])), self.y[judge].astype(int)]
                    options = [(-np.log(np.maximum(share, 1e-12)).mean(), False)]
                else:
                    raw = invert(JUDGED, np.stack(told, 1), uniform)
                    options = [(score(raw, self.y[judge]), False),
                               (score(snapped(raw, self.grid), self.y[judge]), True)]  # fmt: skip
                best = min([best, *((value, leaves, rounds, snap) for value, snap in options)])
        return best[1:]

    def train(self, x, y, leaves, rounds, levels):
        common = {"num_leaves": leaves, "learning_rate": RATE, "verbosity": -1, "num_threads": 1, "seed": self.seed}
        if self.label:
            kind = {"objective": "multiclass", "num_class": self.classes}
            settings = [common | (kind if self.classes > 2 else {"objective": "binary"})]
        else:
            settings = [common | {"objective": "quantile", "alpha": float(level)} for level in levels]
        about = {"categorical_feature": self.categorical, "free_raw_data": False, "params": {"verbosity": -1}}
        data = lightgbm.Dataset(x, y, **about)
        return [lightgbm.train(setting, data, rounds) for setting in settings]

    def told(self, boosters, x, rounds):
        """Of numbers a quantile `[n]` for each booster, of labels the probabilities `[n, classes]`."""
        told = [booster.predict(x, num_iteration=rounds, num_threads=1) for booster in boosters]
        return [np.stack([1 - told[0], told[0]], 1)] if self.label and self.classes == 2 else told

    def predict(self, rows):
        return self.told(self.boosters, rows[:, self.others], self.rounds)

    def draw(self, rows, draws, rng):
        values = invert(self.levels, np.stack(self.predict(rows), 1), rng.random((len(rows), draws)))
        return snapped(values, self.grid) if self.snap else values


def score(draws, truth):
    """The fair CRPS of `[n, draws]` at `[n]`, averaged."""
    count = draws.shape[1]
    ranks = 2.0 * np.arange(1, count + 1) - count - 1
    spread = 2 * np.sort(draws, axis=1) @ ranks / (count * (count - 1))
    return float((np.abs(draws - truth[:, None]).mean(axis=1) - spread / 2).mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
