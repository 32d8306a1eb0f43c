"""Modes of a grid of 25 and of a ring of 8 Gaussians: how many are covered, how well, by generators and diffusions.

python -m benchmarks.modes --models score wgan --seeds 2 --steps 1500
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import genprob
from genprob.nets.mlp import mlp
from genprob_metrics.modes import covered

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "modes.md"
ROWS, DRAWS = 10_000, 2500
SHAPES = {
    "grid": (np.array(list(itertools.product(range(-4, 5, 2), repeat=2)), dtype=float), 0.05),
    "ring": (np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1), 0.01),
}
OPTIONS = {
    "score": {"hidden": (128, 128)},
    "wgan": {"latent": 2, "inference": {"name": "adversarial", "penalty": 0.1}},
    "gan": {"latent": 2, "pack": 4, "inference": {"name": "adversarial", "penalty": 0.01}},
}
NETWORKS = {
    "2 x 128, smooth": (2, nn.SiLU),
    "2 x 128": (2, nn.ReLU),
    "3 x 128, smooth": (3, nn.SiLU),
    "3 x 128": (3, nn.ReLU),
}


def sampled(shape: str, rows: int, seed: int) -> np.ndarray:
    """Rows `[rows, 2]` of the mixture."""
    centres, sd = SHAPES[shape]
    rng = np.random.default_rng(seed)
    return centres[rng.integers(0, len(centres), rows)] + sd * rng.normal(size=(rows, 2))


def judged(draws: np.ndarray, shape: str) -> tuple[int, float, float]:
    """Modes with a good draw, the share of good draws, and KL(draws over modes || uniform) in nats.

    A draw is good within three standard deviations of its nearest mode.
    """
    centres, sd = SHAPES[shape]
    found = covered(draws, centres, 3 * sd)
    return found.modes, float(found.good.mean()), found.divergence(np.full(len(centres), 1 / len(centres)))


def told(depth: int, activation: type[nn.Module], seed: int, steps: int = 2000) -> tuple[int, float, float]:
    """What draws score of a generator that is told, by regression, which point of the grid each code should become."""
    torch.manual_seed(seed)
    generator = mlp(2, (128,) * depth, 2, activation)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scale = np.sqrt(8.0)
    for _ in range(steps):
        code = torch.randn(256, 2)
        best = (2 * (5 * torch.special.ndtr(code)).floor().clamp(0, 4) - 4) / scale
        optimizer.zero_grad()
        (generator(code) - best).square().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return judged(scale * generator(torch.randn(DRAWS, 2)).numpy(), "grid")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["score", "wgan"])
    parser.add_argument("--shapes", nargs="+", default=["grid", "ring"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    lines, pictures = [], []
    for shape, name in itertools.product(given.shapes, given.models):
        found, spent = [], time.process_time()
        for seed in range(given.seeds):
            rows = sampled(shape, ROWS, seed)
            joint = genprob.fit(
                {"x": rows[:, 0], "y": rows[:, 1]}, name, steps=given.steps, seed=seed,
                schema={"x": "real", "y": "real"}, **OPTIONS[name],
            )  # fmt: skip
            drawn = joint.sample(DRAWS, seed=seed)
            draws = np.stack([drawn["x"].values, drawn["y"].values], 1)
            found.append(judged(draws, shape))
            if not seed:
                pictures.append((f"{name}, {shape}", draws))
        spent = (time.process_time() - spent) / given.seeds
        cells = _cells(found)
        total = len(SHAPES[shape][0])
        lines.append(f"| {shape} | {name} | {cells[0]} of {total} | {cells[1]} | {cells[2]} | {spent:.0f} |")
        print(lines[-1], flush=True)
    reached = []
    for name, (depth, activation) in NETWORKS.items():
        cells = _cells([told(depth, activation, seed) for seed in range(given.seeds)])
        reached.append(f"| {name} | {cells[0]} of 25 | {cells[1]} | {cells[2]} |")
    print("\n".join(reached))
    picture(pictures, given.page.with_suffix(".png"))
    given.page.write_text(_page(lines, reached, given))


def _cells(found: list[tuple[int, float, float]]) -> list[str]:
    table = np.array(found, dtype=float)
    return [f"{m:.2f} +- {s:.2f}" for m, s in zip(table.mean(0), table.std(0), strict=True)]


def _page(lines: list[str], reached: list[str], given: argparse.Namespace) -> str:
    command = (
        f"python -m benchmarks.modes --models {' '.join(given.models)} --seeds {given.seeds} --steps {given.steps}"
    )
    return f"""# Modes of a grid and of a ring

Written by `{command}`:
{ROWS:,} rows, {DRAWS:,} draws, mean +- sd over {given.seeds} seeds. A draw is good within three
standard deviations of its nearest mode; the last but one column is the divergence of the modes of good draws from
uniform, in nats; CPU seconds are of a fit with its draws. Draws of
`wgan` and `gan` have the fitted noise of `generator+noise`.

| data | model | modes covered | share of good draws | reverse KL | CPU s |
|---|---|---|---|---|---|
{chr(10).join(lines)}

![draws](modes.png)

## What a generator could do if it were told

A generator is one continuous map, which has to turn between two modes within a small stretch of codes. Here it is
told by regression what each code should become (grid, 2,000 steps of 256 codes, no critic), and its draws are judged
alike: what smooth units miss here no game of that length can give them.

| generator | modes covered | share of good draws | reverse KL |
|---|---|---|---|
{chr(10).join(reached)}

## Published figures

The measure is that of VEEGAN (Srivastava et al. 2017): 2,500 draws, good within three standard deviations, there
averaged over five runs. The figures of that paper and of PacGAN (Lin et al. 2018, table 1) on these two laws stand in
pictures of tables which could not be read here. What follows is from memory and **not
verified**: look it up before quoting. Training there is far longer.

| data | method | modes covered | share of good draws | reverse KL | from |
|---|---|---|---|---|---|
| grid | GAN | 17.3 +- 0.8 of 25 | 0.95 | 0.70 | PacGAN, table 1 |
| grid | PacGAN, 4 packed | 24.8 +- 0.2 of 25 | 0.94 | 0.04 | the same |
| grid | ALI | 15.8 of 25 | 0.02 | - | VEEGAN, table 1 |
| grid | VEEGAN | 24.6 of 25 | 0.40 | - | the same |
| ring | GAN | 6.3 +- 0.5 of 8 | 0.98 | 0.45 | PacGAN, table 1 |
| ring | PacGAN, 4 packed | 7.8 +- 0.1 of 8 | 0.96 | 0.07 | the same |
| ring | VEEGAN | 8 of 8 | 0.53 | - | VEEGAN, table 1 |

## What else was tried

Bare loops on the grid, seed 0 each, without the noise of `generator+noise`. Generators have 3 x 128 rectifiers unless
it is said otherwise.

| game | modes covered | share of good draws | reverse KL | CPU s |
|---|---|---|---|---|
| Wasserstein, slopes penalised by .1, critic of 3 x 128 rectifiers, 800 steps | 24 | 0.19 | 0.71 | 37 |
| Wasserstein, penalty 10, waves to the critic, smooth generator of 2 x 128, 1,000 steps | 23 | 0.03 | 0.33 | 31 |
| logistic, points blurred by widths of .01 to 1, told to a critic with waves, 2,000 steps | 14 | 0.66 | 1.24 | 16 |
| the same, relativistic (Jolicoeur-Martineau 2019) | 15 | 0.47 | 0.95 | 23 |
| the same, logistic, packs of 4, half the generator's rate | 15 | 0.49 | 1.05 | 13 |
| the same, logistic, smooth generator of 2 x 128, no packs | 22 | 0.12 | 1.07 | 17 |
| logistic, waves, packs of 4, no blur, smooth generator of 2 x 128 | 4 | 0.54 | 2.82 | 11 |

The first, third and fourth generators started at twice the usual weights. A sharp generator is what lets a draw be
good; a critic that sees fine detail at once lets the game collapse. And where modes are missed, the fitted noise hides
what detail there is: rows held out lie in those modes too, so the deviation that explains them is wide. The blurred
game through the engine (2,200 steps, CPU 31 s) has .55 of its points good, in 13 modes, before noise, and .02 with the
fitted deviation of .57. Where all variables are real and detail matters, `score` is the better choice.
"""


def picture(panels: list[tuple[str, np.ndarray]], path: Path) -> None:
    """Draws of each model on each shape."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(panels), 3), layout="constrained")
    for axes, (title, draws) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.scatter(draws[:, 0], draws[:, 1], s=1, alpha=0.4)
        axes.set_title(title, fontsize=9)
        axes.set_aspect("equal")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
