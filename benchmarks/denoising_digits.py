"""Handwritten digits by models that learn to remove noise: samples, chains, inpainting, and metrics over three seeds.

python -m benchmarks.denoising_digits --seeds 1 --models gsn
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import xarray as xr

import genprob
from benchmarks import tables
from genprob.pictures import film, neighbours, tiles
from genprob.results.plot import save

TRAIN, STEPS, SHOWN = 1200, 600, 12
BUDGET = 256
"""Proposals of an inpainting, eight times as many where they fail."""
PICTURE = "denoising_digits.png"
MODELS: dict[str, dict[str, Any]] = {
    "dae": {"model": "dae", "steps": STEPS},
    "gsn": {"model": "gsn", "steps": STEPS},
    "score": {"model": "score", "steps": STEPS},
    "mixture of 30": {"model": "mixture", "components": 30},
}
METRICS: dict[str, dict[str, Any]] = {
    "two_sample": {"rounds": 30},
    "energy_distance": {},
    "mmd": {},
    "precision_recall": {},
    "memorisation": {},
}
COLUMNS = {
    "C2ST": ("two_sample", "accuracy"),
    "energy distance": ("energy_distance", "energy_distance"),
    "MMD": ("mmd", "mmd"),
    "precision": ("precision_recall", "precision"),
    "recall": ("precision_recall", "recall"),
    "nearer": ("memorisation", "nearer"),
    "copies": ("memorisation", "copies"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    train, test = images()
    rows, joints, began = [], {}, time.process_time()
    for name in given.models:
        found = []
        for seed in range(given.seeds):
            begun = time.process_time()
            joint = genprob.fit(train, seed=seed, schema=SCHEMA, **MODELS[name])
            fitted = time.process_time()
            joint.sample(test.sizes["row"], seed=seed)
            drawn = time.process_time()
            judged = genprob.evaluate(joint, test, METRICS, seed=seed, **{"memorisation.train": train})
            found.append([float(judged[metric][score]) for metric, score in COLUMNS.values()])
            found[-1] += [fitted - begun, drawn - fitted]
            print(name, seed, found[-1], file=sys.stderr, flush=True)
            if not seed:
                joints[name] = joint
        mean, spread = np.mean(found, 0), np.ptp(found, axis=0)
        cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(mean[:-2], spread[:-2], strict=True)]
        rows.append({"model": name, **dict(zip(COLUMNS, cells, strict=True))})
        rows[-1] |= {"fit, CPU s": float(mean[-2]), "draws, CPU s": float(mean[-1])}
    if given.models == list(MODELS) and given.seeds > 1:
        notes = draw(joints, train, test)
        notes.append(f"The whole script took {time.process_time() - began:.0f} s of one processor.")
        text = TEXT.format(seeds=given.seeds, steps=STEPS, test=test.sizes["row"])
        tables.write("denoising_digits", "Digits by removing noise", text, rows, 0, PACKAGES, notes)


def images() -> tuple[xr.Dataset, xr.Dataset]:
    """Grey values spread over their seventeen steps, between 0 and 1, as rows of pictures."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    grey = load_digits().images
    grey = ((grey + rng.random(grey.shape)) / 17)[rng.permutation(len(grey))]
    return pictures(grey[:TRAIN]), pictures(grey[TRAIN:])


def pictures(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"image": (("row", "y", "x"), values)})


def draw(joints: dict[str, genprob.Joint], train: xr.Dataset, test: xr.Dataset) -> list[str]:
    """The picture of the page, of the first seed; what the inpaintings said of themselves."""
    from matplotlib.figure import Figure

    chained = [name for name in ("dae", "gsn") if name in joints]
    denoisers = [name for name in joints if not name.startswith("mixture")]
    height = 1.55 * (len(joints) + len(denoisers)) + 0.8 * len(chained)
    figure = Figure(figsize=(9.0, height), dpi=110, layout="constrained")
    heights = [1.5 * len(joints), 0.8 * len(chained), 1.5 * len(denoisers)]
    sheet, films, half = figure.subfigures(3, 1, height_ratios=heights)
    lines, labels = [], []
    for name, joint in joints.items():
        found = neighbours(joint, train, draws=SHOWN)
        lines += [*found["image"].values]
        labels += [name.split(" of")[0], "nearest"]
    tiles.grid(sheet, np.stack(lines), labels, [""] * SHOWN)
    states = [film(joints[name], chains=1, states=SHOWN, stride=4)["image"].values[0] for name in chained]
    tiles.grid(films, np.stack(states), [f"{name}, chain" for name in chained], [str(4 * i) for i in range(SHOWN)])
    lines, labels, notes = [], [], []
    upper = test["image"].values[: SHOWN // 2].copy()
    upper[:, 4:] = np.nan
    for name in denoisers:
        spent = time.process_time()
        answer = joints[name].query(rows=pictures(upper), draws=2, budget=BUDGET)
        spent = time.process_time() - spent
        made = answer["posterior"]["image"].values.reshape(len(upper), -1, 8, 8)[:, :2]
        lines += [upper.repeat(2, 0), made.reshape(-1, 8, 8)]
        labels += ["given", name]
        stats = answer["sample_stats"]
        reliable, reasons = stats["reliable"].values, stats["reasons"].values
        why = sorted({str(r).split(";")[0] for r, good in zip(reasons, reliable, strict=True) if not good})
        notes.append(
            f"Inpainting of {len(upper)} digits by {name}: {stats['strategy'].values[0]}, {spent:.0f} s of one "
            f"processor, {int(reliable.sum())} reliable" + (f"; the others: {why[0]}." if why else ".")
        )
    tiles.grid(half, np.stack(lines), labels, [str(i // 2) for i in range(SHOWN)])
    save(figure, tables.FOLDER / "figures" / PICTURE)
    return notes


SCHEMA = {"image": {"support": "real", "measure": "lebesgue"}}
PACKAGES = ("torch", "scikit-learn", "numpy")
TEXT = (
    "1,200 digits of 8 x 8 to learn from (scikit-learn's, grey values spread evenly over their seventeen steps),\n"
    "{test} to judge by, as many draws. Every model with its own settings, those that learn noise for {steps} steps.\n"
    "Means over {seeds} seeds of fit and draws, in brackets the range over seeds. C2ST: how often boosted trees tell\n"
    "draws from test digits, .5 is guessing; energy distance and MMD: 0 is equal; precision: draws among the digits,\n"
    "recall: digits among the draws; nearer: how often a draw lies nearer to a training digit than a test digit does,\n"
    ".5 is honest and more is either memory or draws that are too tame; copies: draws that repeat a training digit.\n\n"
    "![draws, chains, halves](figures/" + PICTURE + ")\n\n"
    "From the top: draws of each model, each above its nearest training digit; states of the models' own chains, four\n"
    "transitions apart, from a training digit; test digits of which the upper half is given, two answers each."
)


if __name__ == "__main__":
    main()
