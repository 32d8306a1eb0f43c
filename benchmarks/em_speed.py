"""Seconds of one EM iteration of a mixture of 30 full Gaussians: genprob, with and without holes, and scikit-learn."""

from __future__ import annotations

import argparse
import statistics
import warnings
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import tables
from benchmarks.timing import seconds, threads

ROWS, COLUMNS, COMPONENTS = 50_000, 10, 30
START, ITERATIONS = 2, 20
"""Both are timed over the same 20 iterations, from the parameters that genprob has after 2."""
HOLES = 0.2
RIDGE = 1e-6
SEED = 0
COMPLETE_TARGET, HOLES_TARGET = 1.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    complete = table()
    holed = complete.mask(np.random.default_rng(SEED + 1).random(complete.shape) < HOLES)
    rows, notes = [], []
    for count in chosen.threads:
        with threads(count):
            rows += measure(complete, holed, count, chosen.repeats)
    with threads(1):
        ours, theirs = likelihoods(complete)
    notes.append(
        f"Mean log-likelihood a row after the same iterations from the same parameters: genprob {ours:.6f}, "
        f"scikit-learn {theirs:.6f}."
    )
    notes.append(
        f"Targets: complete data <= {COMPLETE_TARGET:.1f} x scikit-learn, 20 % missing <= {HOLES_TARGET:.0f} x."
    )
    text = (
        f"{ROWS:,} rows x {COLUMNS} reals, {COMPONENTS} components, full covariances, no stopping rule.\n"
        f"The time of one iteration is (time of a fit of {START + ITERATIONS} iterations - time of one of {START}) /\n"
        f"{ITERATIONS}, so that reading, starting and saving are in neither; scikit-learn starts from genprob's\n"
        f"parameters after {START} iterations. Medians of {chosen.repeats} rounds in which all took turns."
    )
    tables.write("em_speed", "Speed of EM", text, rows, SEED, ("torch", "scikit-learn", "numpy"), notes)


def table() -> pd.DataFrame:
    """Rows of a mixture whose components overlap, so that EM has something to do."""
    rng = np.random.default_rng(SEED)
    means = 2 * rng.standard_normal((COMPONENTS, COLUMNS))
    roots = rng.standard_normal((COMPONENTS, COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
    labels = rng.integers(COMPONENTS, size=ROWS)
    noise = rng.standard_normal((ROWS, COLUMNS))
    values = means[labels] + np.einsum("nij,nj->ni", roots[labels], noise) + 0.3 * rng.standard_normal((ROWS, COLUMNS))
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(COLUMNS)])


def ours(frame: pd.DataFrame, iterations: int) -> Any:
    """genprob's fit with neither shrinkage nor a stopping rule."""
    import genprob

    return genprob.fit(
        frame,
        model="mixture",
        seed=SEED,
        steps=iterations,
        inference={"name": "em", "tolerance": 0.0},
        schema={name: "real" for name in frame},
        components=COMPONENTS,
        covariance="full",
        shrinkage=0.0,
        ridge=RIDGE,
        device="cpu",
    )


def start() -> dict[str, Any]:
    """genprob's parameters after a few iterations, in data units and scikit-learn's names."""
    import torch

    model = ours(table(), START).model
    with torch.no_grad():
        loc, scale = model.encoder.loc, model.encoder.scale
        covariance = model.covariance() * scale[:, None] * scale
        return {
            "weights_init": model.weights().exp().numpy(),
            "means_init": (model.mean * scale + loc).numpy(),
            "precisions_init": np.linalg.inv(covariance.numpy()),
        }


def theirs(values: Any, parameters: dict[str, Any], iterations: int) -> Any:
    """scikit-learn's fit from given parameters."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # no stopping rule is the point
        return GaussianMixture(COMPONENTS, tol=0.0, reg_covar=RIDGE, max_iter=iterations, **parameters).fit(values)


def measure(complete: pd.DataFrame, holed: pd.DataFrame, count: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of the table for one number of threads."""
    parameters, values = start(), complete.to_numpy()
    contenders = {
        "scikit-learn GaussianMixture": lambda n: theirs(values, parameters, n),
        "genprob mixture": lambda n: ours(complete, n),
        f"genprob mixture, {HOLES:.0%} of cells missing": lambda n: ours(holed, n),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, fit in contenders.items():
            few, many = (seconds(lambda n=n, fit=fit: fit(n)) for n in (START, START + ITERATIONS))
            times[name].append((many - few) / ITERATIONS)
    peer, whole = list(times.values())[:2]
    return [
        {
            "method": name,
            "threads": count,
            "s / iteration": statistics.median(taken),
            "ratio to scikit-learn": statistics.median(a / b for a, b in zip(taken, peer, strict=True)),
            "ratio to complete": statistics.median(a / b for a, b in zip(taken, whole, strict=True)),
        }
        for name, taken in times.items()
    ]


def likelihoods(complete: pd.DataFrame) -> tuple[float, float]:
    """Mean log-likelihood of a row after the same iterations from the same parameters, in data units."""
    joint = ours(complete, START + ITERATIONS)
    fitted = theirs(complete.to_numpy(), start(), ITERATIONS)
    return float(joint.log_prob(complete)["log_prob"].mean()), float(fitted.score(complete.to_numpy()))


if __name__ == "__main__":
    main()
