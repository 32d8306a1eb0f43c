"""Short chains of a deep energy beside the law of the energy itself, by quadrature in the plane."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import tables
from benchmarks.timing import threads
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.langevin import Langevin
from genprob.engine.transition import Kernel

SEED, ROWS, CHAINS = 0, 2000, 10_000
STEPS, EDGE, CELLS, FINE = (0, 3, 10, 30, 100), 3.0, 30, 8
K, SIZE, FIT = 10, 0.2, 300
PICTURE = "short_runs.png"


def eight(rows: int, rng: np.random.Generator) -> np.ndarray:
    angle = rng.integers(0, 8, rows) * np.pi / 4
    return np.stack([2 * np.cos(angle), 2 * np.sin(angle)], 1) + 0.3 * rng.normal(size=(rows, 2))


def moons(rows: int, rng: np.random.Generator) -> np.ndarray:
    angle, upper = rng.random(rows) * np.pi, rng.random(rows) < 0.5
    x, y = np.where(upper, np.cos(angle), 1 - np.cos(angle)), np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], 1) + 0.15 * rng.normal(size=(rows, 2))


def law(model: Any) -> np.ndarray:
    """The energy's probability of each cell of the plane of standardised reals, `[CELLS, CELLS]`."""
    fine = CELLS * FINE
    at = (torch.arange(fine) + 0.5) * (2 * EDGE / fine) - EDGE
    mass = -model.energy(torch.cartesian_prod(at, at)).detach().double()
    return torch.softmax(mass, 0).reshape(CELLS, FINE, CELLS, FINE).sum((1, 3)).numpy()


def shares(points: Tensor) -> np.ndarray:
    """Of points in each cell; those outside of all are in none."""
    edges = np.linspace(-EDGE, EDGE, CELLS + 1)
    return np.histogram2d(*points.numpy().T, bins=(edges, edges))[0] / len(points)


def variation(one: np.ndarray, other: np.ndarray) -> float:
    """Total variation of two laws over cells and what lies outside."""
    return 0.5 * float(np.abs(one - other).sum() + abs(one.sum() - other.sum()))


def main() -> None:
    import genprob

    rows: list[dict[str, tables.Cell]] = []
    with threads(1):
        for name, law_of in (("eight Gaussians", eight), ("two moons", moons)):
            x = law_of(ROWS, np.random.default_rng(SEED))
            test = law_of(CHAINS, np.random.default_rng(SEED + 1))
            for kind in ("hmc", "langevin"):
                start = time.process_time()
                inference = {"name": "replay", "kernel": kind, "k": K, "size": SIZE, "chains": 128, "lr": 5e-3}
                model: Any = genprob.fit({"x": x[:, 0], "y": x[:, 1]}, "energy", inference=inference, steps=FIT).model
                seconds = time.process_time() - start
                torch.manual_seed(SEED)
                exact = law(model)
                flat = np.random.default_rng(SEED).multinomial(CHAINS, exact.ravel() / exact.sum()) / CHAINS
                data = shares(model.encoder.encode(torch.as_tensor(test)))
                found = {"energy, drawn exactly": flat.reshape(exact.shape)}
                position = torch.randn(CHAINS, 2)

                def density(points: Tensor, model: Any = model) -> Tensor:
                    return -model.energy(points)

                kernel: Kernel = HMC(density, 3, mass="unit", size=SIZE) if kind == "hmc" else Langevin(density, SIZE)
                memory, done = kernel.init(position), 0
                with torch.no_grad():
                    for steps in STEPS:
                        for _ in range(steps - done):
                            position, memory, _ = kernel.step(position, memory)
                        done = steps
                        found[f"{steps} steps"] = shares(position)
                about: dict[str, tables.Cell] = {"data": name, "chains of": kind, "fit CPU s": seconds}
                rows.append(about | {"from": "the energy"} | {key: variation(exact, of) for key, of in found.items()})
                rows.append(about | {"from": "the data"} | {key: variation(data, of) for key, of in found.items()})
                print(rows[-2:], flush=True)
    picture(rows)
    text = (
        f"Deep energies fitted by `replay` ({FIT} steps of {K} transitions each), and then {CHAINS:,} new chains of "
        "the same kernel and step size, begun at N(0, 1) in standardised coordinates. Total variation of where they "
        "are after so many transitions from the law of the energy (by quadrature) and from fresh data, over "
        f"{CELLS} x {CELLS} cells. `energy, drawn exactly` is as many independent draws of the energy's law: in its "
        "first row the noise of counting, in its second how far the energy itself is from the data. A transition of "
        "`hmc` has up to 3 leapfrog steps and is accepted or refused, one of `langevin` is one gradient and is not.\n\n"
        f"![total variation over steps]({PICTURE})"
    )
    tables.write("short_runs", "Short chains beside the energy's law", text, rows, seed=SEED, packages=("torch",))


def picture(rows: list[dict[str, tables.Cell]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("eight Gaussians", "two moons"), strict=True):
        for kind, colour in (("hmc", "#2a6fbb"), ("langevin", "#c4572b")):
            for of, style in (("the energy", "-"), ("the data", ":")):
                row = next(r for r in rows if (r["data"], r["chains of"], r["from"]) == (name, kind, of))
                values = [row[f"{steps} steps"] for steps in STEPS[1:]]
                axes.plot(STEPS[1:], values, style, color=colour, label=f"{kind}, from {of}")
        axes.set_xscale("log")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("transitions", fontsize=8)
        axes.tick_params(labelsize=8)
    axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("total variation", fontsize=8)
    figure.savefig(tables.FOLDER / PICTURE)


if __name__ == "__main__":
    main()
