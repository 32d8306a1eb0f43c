"""Do unlabelled rows help to predict a label? They do where it causes the rest, not where the rest causes it."""

from __future__ import annotations

import argparse
import warnings

import numpy as np

import genprob
from benchmarks.timing import threads

ROWS, LABELS, TEST = 400, 8, 200


def cause(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """y -> x: two clusters."""
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2)) * [1.0, 0.35] + np.where(y[:, None] == 1, [0.6, 0.8], [-0.6, -0.8])
    return x, y


def effect(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """x -> y: the same rows, the label a noisy function of a direction that no cluster shows."""
    x, _ = cause(rng, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-4 * (x[:, 0] - 0.5 * x[:, 1])))).astype(int)
    return x, y


def accuracy(make: str, seed: int, unlabelled: bool, steps: int) -> float:
    rng = np.random.default_rng(seed)
    x, y = {"cause": cause, "effect": effect}[make](rng, ROWS + TEST)
    label = np.where(np.arange(ROWS) < LABELS, y[:ROWS].astype(float), np.nan)
    kept = slice(None) if unlabelled else slice(LABELS)
    train = {"a": x[:ROWS, 0][kept], "b": x[:ROWS, 1][kept], "y": label[kept]}
    inference = {"name": "elbo", "lr": 0.02, "batch_size": 128, "holdout": 0.0}
    joint = genprob.fit(
        train, "ssvae", schema={"y": "binary"}, steps=steps, seed=seed, latent=2, hidden=(16,), inference=inference
    )
    asked = [{"a": a, "b": b} for a, b in x[ROWS:]]
    answer = joint.query(rows=asked, targets=["y"], draws=2, budget=256, strategy="importance")
    return float(((answer["marginals"]["y_pmf"].values[:, 1] > 0.5) == y[ROWS:]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with threads(1):
        for make in ("cause", "effect"):
            for unlabelled in (False, True):
                found = np.array([accuracy(make, s, unlabelled, chosen.steps) for s in range(chosen.seeds)])
                rows = f"{ROWS} rows, {LABELS} labelled" if unlabelled else f"{LABELS} labelled rows"
                spread = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else float("nan")
                print(f"y is the {make}; {rows}: accuracy {found.mean():.3f} +- {spread:.3f}", flush=True)


if __name__ == "__main__":
    main()
