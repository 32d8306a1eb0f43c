"""Boltzmann machines on handwritten digits: test log-likelihoods with the partition function's error, and pictures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import xarray as xr

import genprob
from benchmarks import machine_pictures, tables

SEED, TRAIN = 0, 1400
HIDDEN, STEPS = 64, 3000
PICTURE = "rbm_digits.png"


def main() -> None:
    train, test = images()
    contenders: dict[str, tuple[str, dict[str, Any], dict[str, Any] | str, int | None]] = {
        "rbm, pcd": ("rbm", {"hidden": HIDDEN}, inference("pcd", k=2, chains=256), STEPS),
        "rbm, cd-1": ("rbm", {"hidden": HIDDEN}, inference("cd", k=1), STEPS),
        "boltzmann, pseudolikelihood": ("boltzmann", {}, "pseudolikelihood", 500),
        "mixture of 30": ("mixture", {"components": 30}, "em", None),
        "independent pixels": ("mixture", {"components": 1}, "em", None),
    }
    rows, joints = [], {}
    for name, (model, options, how, steps) in contenders.items():
        started = time.process_time()
        joint = genprob.fit(data(train), model, seed=SEED, steps=steps, inference=how, **options)
        spent = time.process_time() - started
        joints[name] = joint
        rows.append(scored(name, joint, train, test) | {"CPU s": spent})
        print(rows[-1], flush=True)
    machine_pictures.draw(joints["rbm, pcd"], test, PICTURE, SEED)
    text = (
        f"{len(train)} digits of 8 x 8 to learn from, {len(test)} to test on (scikit-learn's, each pixel drawn once "
        f"from its grey value); nats a digit, log p of whole images.\n{HIDDEN} hidden units, {STEPS} steps. The "
        "partition function is annealed, melted and bridged; a likelihood is the bridge's,\nand is quoted only where "
        f"all three agree within a nat.\n\n![draws, filters, halves completed](figures/{PICTURE})\n\n"
        "From the top: two rows of draws of the joint, two rows of filters (weights of hidden units), and three rows "
        "of test digits: the upper half\nthat was given, and two completions by clamped chains."
    )
    tables.write("rbm_digits", "Boltzmann machines on digits", text, rows, SEED, ("torch", "scikit-learn", "numpy"))


def images() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(SEED)
    grey = load_digits().images / 16
    ink = (rng.random(grey.shape) < grey).astype(float)
    ink = ink[rng.permutation(len(ink))]
    return ink[:TRAIN], ink[TRAIN:]


def data(ink: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"image": (("row", "y", "x"), ink)})


def inference(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "lr": 5e-3, "batch_size": 100, "weight_decay": 0.1, **options}


def scored(name: str, joint: genprob.Joint, train: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    held, seen = joint.log_prob(data(test)), joint.log_prob(data(train))
    value = held["log_prob"].values
    row = {"model": name, "test nats": value.mean(), "se of rows": value.std() / np.sqrt(len(value))}
    row |= {"log Z se": held.attrs["log_partition_se"], "kind": held.attrs["kind"], "optimistic - conservative": ""}
    row["train nats"] = seen["log_prob"].values.mean()
    if hasattr(joint.model, "partition"):
        partition = joint.model.partition()
        gap = partition.conservative - partition.optimistic
        assert abs(gap) < 1, f"{name}: the two ends differ by {gap:.2f} nats"
        row["optimistic - conservative"] = f"{gap:.3f}"
    return row


if __name__ == "__main__":
    main()
