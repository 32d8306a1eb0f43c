"""The pictures of the page on denoising: data, draws and fields of 25 Gaussians and of a swiss roll."""

from __future__ import annotations

import itertools
import time

import numpy as np

import genprob
from genprob.pictures import field, plot_fields

ROWS, STEPS = 4000, 2500
PICTURE = "docs/explanation/figures/denoising_fields.png"


def main() -> None:
    begun, fields = time.process_time(), {}
    for shape, rows in {"25 Gaussians": grid(), "swiss roll": roll()}.items():
        for model, noise in (("score", 0.1), ("dae", None)):
            joint = genprob.fit(
                {"x": rows[:, 0], "y": rows[:, 1]}, model, steps=STEPS, seed=0, hidden=(64, 64),
                schema={"x": REAL, "y": REAL},
            )  # fmt: skip
            fields[f"{model}, {shape}"] = field(joint, noise=noise, steps=31, draws=1000)
            print(shape, model, f"{time.process_time() - begun:.0f} s of one processor", flush=True)
    plot_fields(fields, PICTURE)


def grid() -> np.ndarray:
    """Rows of 25 Gaussians on a grid, standard deviation .05."""
    rng = np.random.default_rng(0)
    centres = np.array(list(itertools.product(range(-4, 5, 2), repeat=2)), dtype=float)
    return centres[rng.integers(0, 25, ROWS)] + 0.05 * rng.normal(size=(ROWS, 2))


def roll() -> np.ndarray:
    """Rows of scikit-learn's swiss roll, seen from its end."""
    from sklearn.datasets import make_swiss_roll

    return make_swiss_roll(ROWS, noise=0.3, random_state=0)[0][:, [0, 2]] / 5


REAL = {"support": "real", "measure": "lebesgue"}


if __name__ == "__main__":
    main()
