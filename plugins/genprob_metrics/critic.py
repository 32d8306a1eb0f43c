"""How far apart can a network hold draws and rows?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from genprob.joint import Joint
from genprob.metrics.score import Result, Score
from genprob.request import whole
from genprob_metrics.features import Features
from genprob_metrics.two_sample import LEAST_ROWS, alike

if TYPE_CHECKING:
    from torch import Tensor

_SIZE, _PENALTY, _RATE = 256, 10.0, 5e-3


class Critic:
    """Wasserstein's distance as a critic sees it that is trained on one half of rows and draws, seen on the other.

    A network whose slope is held to one learns to score rows above draws; the difference of its mean scores on
    points that it has not seen, over its largest slope there, is a lower bound of the distance in expectation,
    whatever it has learned by heart (Arjovsky, Chintala and Bottou 2017; the independent critic of Danihelka et al.
    2017, Comparison of maximum likelihood and GAN-based training). Points are rows, numbers in standard deviations.

    Arguments:
        hidden: sizes of the critic's layers.
        steps: of its training.
        rows: at most so many rows, and as many draws with the same holes.
        seed: of draws, rows, their split and the critic.
    """

    def __init__(
        self, *, hidden: tuple[int, ...] = (64, 64), steps: int = 500, rows: int = 4000, seed: int = 0
    ) -> None:
        self.hidden, self.steps = tuple(hidden), whole("steps", steps, 1)
        self.rows, self.seed = whole("rows", rows, 2 * LEAST_ROWS), whole("seed", seed, 0)

    def __call__(self, joint: Joint, data: Any) -> Result:
        _, real, fake = alike(joint, data, self.rows, self.seed)
        space, rng = Features(joint.schema, real, label=None, seed=self.seed), np.random.default_rng([self.seed, 3])
        half = len(real) // 2
        parts = [np.nan_to_num(space(sample))[rng.permutation(len(sample))] for sample in (real, fake)]
        first, second, slope = _judged([part[half:] for part in parts], [part[:half] for part in parts], self)
        gap = (first.mean() - second.mean()) / slope
        error = math.sqrt(first.var(ddof=1) / half + second.var(ddof=1) / half) / slope
        score = Score(
            "critic", np.array(gap), np.array(error), np.array(half), "sd of the data", "lower", 0.0, "lower_bound"
        )
        return Result((score,), attrs={"rows": len(real), "slope": slope, "steps": self.steps})


def _judged(learn: list[np.ndarray], unseen: list[np.ndarray], how: Critic) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores of unseen rows and of unseen draws by a critic that has learned from others, and its largest slope."""
    import torch

    from genprob.nets.mlp import mlp

    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(how.seed)
        network = mlp(learn[0].shape[1], how.hidden, 1)
        real, fake = (torch.as_tensor(part, dtype=torch.float32) for part in learn)
        optimizer = torch.optim.Adam(network.parameters(), _RATE, betas=(0.5, 0.9), fused=True)
        turns = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.steps)
        for _ in range(how.steps):
            data, made = (part[torch.randint(len(part), (min(_SIZE, len(part)),))] for part in (real, fake))
            between = torch.lerp(data, made, torch.rand(len(data), 1))
            away = (_slopes(network, between, graph=True) - 1).clamp(min=0).square().mean()
            loss = (network(made) - network(data)).mean() + _PENALTY * away
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            turns.step()
        data, made = (torch.as_tensor(part, dtype=torch.float32) for part in unseen)
        between = torch.cat([data, made, torch.lerp(data, made, torch.rand(len(data), 1))])
        slope = max(1.0, float(_slopes(network, between, graph=False).max()))
        with torch.no_grad():
            return network(data)[:, 0].double().numpy(), network(made)[:, 0].double().numpy(), slope


def _slopes(network: Any, points: Tensor, *, graph: bool) -> Tensor:
    """The norm of the network's gradient at each point."""
    import torch

    at = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network(at).sum(), at, create_graph=graph)
    return gradient.norm(dim=1)
