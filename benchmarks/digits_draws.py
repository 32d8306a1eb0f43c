"""Draws beside test digits, of models that remove noise and of models with a code: metrics over seeds, and pictures.

python -m benchmarks.digits_draws --models dcgan ali
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
from genprob.pictures import film, neighbours, reconstruction, tiles
from genprob.results.plot import save
from genprob_adversarial.codes import interpolate

TRAIN, STEPS, SHOWN = 1200, 600, 12
BUDGET = 256
"""Proposals of an inpainting, eight times as many where they fail."""
MODELS: dict[str, dict[str, Any]] = {
    "dae": {"model": "dae", "steps": STEPS},
    "gsn": {"model": "gsn", "steps": STEPS},
    "score": {"model": "score", "steps": STEPS},
    "mixture of 30": {"model": "mixture", "components": 30},
    "vae": {"model": "vae", "steps": STEPS},
    "dcgan": {"model": "dcgan", "steps": STEPS},
    "ali": {"model": "ali", "steps": STEPS},
    "wgan": {"model": "wgan", "steps": STEPS},
}
CHAINED, NOISED, CODED = ("dae", "gsn"), ("dae", "gsn", "score"), ("vae", "dcgan", "ali", "wgan")
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
    "coverage": ("precision_recall", "coverage"),
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
    notes = shown(joints, train, test)
    notes.append(f"{', '.join(joints)} took {time.process_time() - began:.0f} s of one processor in all.")
    ran = {f"by {name}" for name in joints}
    notes += [note for note in tables.notes_of(PAGE) if "Inpainting" in note and not any(by in note for by in ran)]
    kept = [row for row in tables.rows_of(PAGE) if row["model"] not in joints]
    both = sorted([*rows, *kept], key=lambda row: list(MODELS).index(str(row["model"])))
    if kept:
        notes.append(f"Rows kept from earlier runs: {', '.join(row['model'] for row in kept)}.")
    columns = ["model", *COLUMNS, "fit, CPU s", "draws, CPU s"]
    text = TEXT.format(seeds=given.seeds, steps=STEPS, test=test.sizes["row"])
    lines = [{column: row.get(column) for column in columns} for row in both]
    tables.write(PAGE, "Draws beside test digits", text, lines, 0, PACKAGES, notes)


def images() -> tuple[xr.Dataset, xr.Dataset]:
    """Grey values spread over their seventeen steps, between 0 and 1, as rows of pictures."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    grey = load_digits().images
    grey = ((grey + rng.random(grey.shape)) / 17)[rng.permutation(len(grey))]
    return pictures(grey[:TRAIN]), pictures(grey[TRAIN:])


def pictures(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"image": (("row", "y", "x"), values)})


def shown(joints: dict[str, genprob.Joint], train: xr.Dataset, test: xr.Dataset) -> list[str]:
    """The pictures of which every model is there; what the inpaintings said of themselves."""
    notes = []
    if {*NOISED} <= {*joints}:
        notes = noised({name: joint for name, joint in joints.items() if name not in CODED}, train, test)
    if {*CODED} <= {*joints}:
        coded({name: joints[name] for name in CODED}, train, test)
    return notes


def sheet(figure: Any, joints: dict[str, genprob.Joint], train: xr.Dataset) -> None:
    """Draws of each joint above their nearest training digits."""
    found = [neighbours(joint, train, draws=SHOWN)["image"].values for joint in joints.values()]
    labels = [label for name in joints for label in (name.split(" of")[0], "nearest")]
    tiles.grid(figure, np.concatenate(found), labels, [""] * SHOWN)


def noised(joints: dict[str, genprob.Joint], train: xr.Dataset, test: xr.Dataset) -> list[str]:
    """Draws, chains and completed halves."""
    from matplotlib.figure import Figure

    heights = [1.5 * len(joints), 0.8 * len(CHAINED), 1.5 * len(NOISED)]
    figure = Figure(figsize=(9.0, sum(heights)), dpi=110, layout="constrained")
    draws, films, half = figure.subfigures(3, 1, height_ratios=heights)
    sheet(draws, joints, train)
    states = [film(joints[name], chains=1, states=SHOWN, stride=4)["image"].values[0] for name in CHAINED]
    tiles.grid(films, np.stack(states), [f"{name}, chain" for name in CHAINED], [str(4 * i) for i in range(SHOWN)])
    lines, labels, notes = [], [], []
    upper = test["image"].values[: SHOWN // 2].copy()
    upper[:, 4:] = np.nan
    for name in NOISED:
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
    save(figure, tables.FOLDER / "figures" / "digits_noise.png")
    return notes


def coded(joints: dict[str, genprob.Joint], train: xr.Dataset, test: xr.Dataset) -> None:
    """Draws, test digits made again from their codes, and the ways between two codes."""
    from matplotlib.figure import Figure

    games = [name for name in joints if name != "vae"]
    heights = [1.5 * len(joints), 0.8 * (1 + len(joints)), 0.8 * 2 * len(games)]
    figure = Figure(figsize=(9.0, sum(heights)), dpi=110, layout="constrained")
    draws, again, ways = figure.subfigures(3, 1, height_ratios=heights)
    sheet(draws, joints, train)
    found = [reconstruction(joint, test, rows=SHOWN)["image"].values for joint in joints.values()]
    tiles.grid(again, np.stack([found[0][0], *(made[-1] for made in found)]), ["test digit", *joints], [""] * SHOWN)
    pairs = [test["image"].values[i : i + 2] for i in (0, 2)]
    lines, labels = [], []
    for name in games:
        for pair in pairs:
            between = interpolate(joints[name], pictures(pair), steps=SHOWN - 2)["image"].values
            lines.append(np.concatenate([pair[:1], between, pair[1:]]))
            labels.append(name)
    tiles.grid(ways, np.stack(lines), labels, ["digit", *[""] * (SHOWN - 2), "digit"])
    save(figure, tables.FOLDER / "figures" / "digits_codes.png")


SCHEMA = {"image": {"support": "real", "measure": "lebesgue"}}
PACKAGES = ("torch", "scikit-learn", "numpy")
PAGE = "digits_draws"
TEXT = (
    "1,200 digits of 8 x 8 to learn from (scikit-learn's, grey values spread evenly over their seventeen steps),\n"
    "{test} to judge by, as many draws. Every model with its own settings, all but the mixture for {steps} steps.\n"
    "Means over {seeds} seeds of fit and draws, in brackets the range over seeds. C2ST: how often boosted trees tell\n"
    "draws from test digits, .5 is guessing; energy distance and MMD: 0 is equal; precision: draws among the digits,\n"
    "recall: digits among the draws, coverage: digits that have a draw for a neighbour; nearer: how often a draw lies\n"
    "nearer to a training digit than a test digit does, .5 is honest and more is either memory or draws that are too\n"
    "tame; copies: draws that repeat a training digit. Draws of games have the noise of `generator+noise`.\n\n"
    "![draws, chains, halves](figures/digits_noise.png)\n\n"
    "From the top: draws of each model, each above its nearest training digit; states of the models' own chains, four\n"
    "transitions apart, from a training digit; test digits of which the upper half is given, two answers each.\n\n"
    "![draws, reconstructions, ways between](figures/digits_codes.png)\n\n"
    "From the top: draws of the models with a code; test digits, unseen by all, made again from the mean of their\n"
    "codes; what the generators make of the straight line between the codes of the test digits at its ends."
)


if __name__ == "__main__":
    main()
