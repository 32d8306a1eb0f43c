"""What a Boltzmann machine over one image has learned, as one picture: draws, filters, completed halves."""

from __future__ import annotations

from typing import Any

import numpy as np

import genprob
from benchmarks import tables

ACROSS = 16


def draw(joint: genprob.Joint, test: np.ndarray, picture: str, seed: int) -> None:
    """Two rows of draws, two of filters, and test images `[n, height, width]` whose upper halves are given."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    height, width = test.shape[1:]
    samples = joint.sample(2 * ACROSS, seed=seed)["image"].values
    model: Any = joint.model
    weight = model.weight.detach().numpy().T.reshape(-1, height, width)
    strongest = np.argsort(-np.square(weight).sum((1, 2)))[: 2 * ACROSS]
    given = np.zeros((height, width), dtype=bool)
    given[: height // 2] = True
    halves = [{"image": genprob.Masked(image, given)} for image in test[:ACROSS]]
    answer = joint.query(rows=halves, draws=2, seed=seed, strategy="clamped")
    print({k: answer.attrs[k] for k in ("strategy", "rhat", "ess", "reliable", "reasons")}, flush=True)
    found = np.asarray(answer["posterior"]["image"]).reshape(ACROSS, -1, height, width)
    shown = np.where(given, test[:ACROSS], 0.35)
    rows = [samples[:ACROSS], samples[ACROSS:], *(weight[strongest[i * ACROSS : (i + 1) * ACROSS]] for i in (0, 1))]
    rows += [shown, found[:, 0], found[:, 1]]
    figure, axes = plt.subplots(len(rows), ACROSS, figsize=(ACROSS * 0.5, len(rows) * 0.5))
    for line, row in zip(rows, axes, strict=True):
        for image, axis in zip(line, row, strict=True):
            weighted = image.min() < 0
            limit = float(np.abs(image).max())
            axis.imshow(image, cmap="RdBu" if weighted else "gray_r", vmin=-limit if weighted else 0, vmax=limit or 1)
            axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.08, 0.08)
    (tables.FOLDER / "figures").mkdir(exist_ok=True)
    figure.savefig(tables.FOLDER / "figures" / picture, dpi=110)
    plt.close(figure)
