"""Digits with few labels: a semi-supervised fit with and without unlabelled rows."""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
import xarray as xr

import genprob
from benchmarks.timing import threads
from genprob.data.batch import as_batch

LABELS, TRAIN, TEST = 100, 1400, 200
SCHEMA = {"image": "binary", "label": "categorical"}


def split(seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    data = genprob.read("digits")
    order = np.random.default_rng(seed).permutation(data.sizes["row"])
    return data.isel(row=order[:TRAIN]), data.isel(row=order[TRAIN : TRAIN + TEST])


def accuracy(seed: int, unlabelled: bool, steps: int) -> tuple[float, float]:
    """Shares of test labels that the guide's classifier finds, and that the joint does: the likeliest label."""
    train, test = split(seed)
    label = train["label"].values.astype(object).copy()
    label[LABELS:] = None
    train = train.assign(label=("row", label)).isel(row=slice(None if unlabelled else LABELS))
    inference = {"name": "elbo", "lr": 3e-3, "batch_size": 128, "holdout": 0.0}
    options = {"latent": 8, "hidden": (64,), "particles": 64}
    joint = genprob.fit(train, "ssvae", schema=SCHEMA, steps=steps, seed=seed, inference=inference, **options)
    levels = np.array(joint.schema["label"].support.levels)  # pyright: ignore
    blank = as_batch(joint.table(test.drop_vars("label").assign(label=hole(None))), dtype=joint.model.precision)
    with torch.no_grad():
        guessed = joint.model.classes_of(blank).argmax(1).numpy()  # pyright: ignore
    score = [joint.log_prob(test.assign(label=hole(level)))["log_prob"].values for level in levels]
    found = [levels[chosen] == test["label"].values for chosen in (guessed, np.argmax(score, 0))]
    return float(found[0].mean()), float(found[1].mean())


def hole(label: str | None) -> tuple[str, np.ndarray]:
    return "row", np.array([label] * TEST, dtype=object)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with threads(1):
        for unlabelled in (False, True):
            rows = f"{TRAIN} rows, {LABELS} labelled" if unlabelled else f"{LABELS} labelled rows alone"
            found = np.array([accuracy(s, unlabelled, chosen.steps) for s in range(chosen.seeds)])
            for name, each in zip(("classifier", "joint"), found.T, strict=True):
                error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else float("nan")
                print(f"{rows}, {name}: {each.mean():.3f} +- {error:.3f}, each {each.round(3).tolist()}", flush=True)


if __name__ == "__main__":
    main()
