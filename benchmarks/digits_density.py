"""Test log-likelihood of the binarised 8x8 digits: MADE and NADE in one order and over all, beside mixtures."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import xarray as xr

from benchmarks import tables
from benchmarks.timing import threads

SPLIT = 0
SEEDS = (0, 1)
TEST = 297
MODELS: dict[str, dict[str, Any]] = {
    "independent pixels": {"model": "mixture", "components": 1},
    "mixture of 30": {"model": "mixture", "components": 30},
    "made": {"model": "made", "hidden": (256,)},
    "made, all orders, 16 averaged": {"model": "made", "hidden": (256,), "agnostic": True, "orders": 16},
    "nade": {"model": "nade", "hidden": (256,)},
    "nade, all orders, 16 averaged": {"model": "nade", "hidden": (256,), "agnostic": True, "orders": 16},
}


def digits() -> tuple[xr.Dataset, xr.Dataset]:
    """Training and test images."""
    from genprob.data.datasets import digits as load

    images = load()[["image"]]
    order = np.random.default_rng(SPLIT).permutation(images.sizes["row"])
    return images.isel(row=order[TEST:]), images.isel(row=order[:TEST])


def main() -> None:
    import genprob

    train, test = digits()
    chosen = [name for name in MODELS if not sys.argv[1:] or any(word == name for word in sys.argv[1:])]
    rows = []
    with threads(1):
        for name in chosen:
            for seed in SEEDS:
                start = time.perf_counter()
                joint = genprob.fit(train, seed=seed, **MODELS[name])
                fitted = time.perf_counter() - start
                start = time.perf_counter()
                scored = joint.log_prob(test)
                seconds = time.perf_counter() - start
                value = scored["log_prob"].values
                row = {
                    "model": name,
                    "seed": seed,
                    "test log-likelihood": float(value.mean()),
                    "its standard error": float(value.std() / np.sqrt(len(value))),
                    "training rows": float(joint.log_prob(train)["log_prob"].values.mean()),
                    "kind": scored.attrs["kind"],
                    "law": scored.attrs["law"],
                    "fit s": fitted,
                    "score s": seconds,
                }
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    if len(chosen) == len(MODELS):
        tables.write("digits_density", "Densities of binarised digits", TEXT, rows, SPLIT, PACKAGES)


PACKAGES = ("torch", "numpy", "scikit-learn")
TEXT = (
    "Images of scikit-learn's digits, 8 x 8 pixels, ink where the grey value is above 7.5 of 16 (fixed binarisation,\n"
    f"the data set `digits`): 1,500 to train on and {TEST} to test, split by seed {SPLIT}. Nats per image, higher is\n"
    "better; the standard error is over test images. Each model is fitted with its defaults but for the sizes said\n"
    "here, a tenth of the training rows held out to stop early by, one thread; `seed` is the fit's.\n"
    "`all orders` were trained over all orders of pixels, and the densities of so many orders averaged."
)


if __name__ == "__main__":
    main()
