"""Boltzmann machines on handwritten digits: test log-likelihoods with the partition function's error, and pictures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import xarray as xr

import genprob
from benchmarks import tables

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
    draw(joints["rbm, pcd"], test)
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


def draw(joint: genprob.Joint, test: np.ndarray) -> None:
    """Samples, filters and completions as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    across = completed = 16
    samples = joint.sample(2 * across, seed=SEED)["image"].values
    weight = joint.model.weight.detach().numpy().T.reshape(-1, 8, 8)
    strongest = np.argsort(-np.square(weight).sum((1, 2)))[: 2 * across]
    given = np.zeros((8, 8), dtype=bool)
    given[:4] = True
    halves = [{"image": genprob.Masked(image, given)} for image in test[:completed]]
    answer = joint.query(rows=halves, draws=2, seed=SEED)
    print({k: answer.attrs[k] for k in ("strategy", "rhat", "ess", "reliable", "reasons")}, flush=True)
    found = answer["posterior"]["image"].values.reshape(completed, -1, 8, 8)
    shown = np.where(given, test[:completed], 0.35)
    rows = [samples[:across], samples[across:], *(weight[strongest[i * across : (i + 1) * across]] for i in (0, 1))]
    rows += [shown, found[:, 0], found[:, 1]]
    figure, axes = plt.subplots(len(rows), across, figsize=(across * 0.5, len(rows) * 0.5))
    for line, row in zip(rows, axes, strict=True):
        for image, axis in zip(line, row, strict=True):
            weighted = image.min() < 0
            limit = float(np.abs(image).max())
            axis.imshow(image, cmap="RdBu" if weighted else "gray_r", vmin=-limit if weighted else 0, vmax=limit or 1)
            axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.08, 0.08)
    (tables.FOLDER / "figures").mkdir(exist_ok=True)
    figure.savefig(tables.FOLDER / "figures" / PICTURE, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
