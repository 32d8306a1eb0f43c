"""A row completed in turn with its latents: the state of a Metropolis-within-Gibbs chain over both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genprob.nets.heads import Heads
from genprob.query.batch import QueryBatch
from genprob.query.emission import draw

Latents = dict[str, Tensor]


@dataclass
class Completion:
    """Chains over latents and unknown cells, `[queries, chains]` of them.

    Arguments:
        heads: laws of the cells.
        queries: what is known, as points.
        propose: of complete rows `[Q, chains, width]`: latents drawn by the guide and their log-density there.
        judge: of latents and complete rows: log p(latents, row) and what the decoder says, marginals added.
        density: of latents and complete rows: log-density of the guide.
        latents: where the chains begin.
    """

    heads: Heads
    queries: QueryBatch
    propose: Callable[[np.ndarray], tuple[Latents, Tensor]]
    judge: Callable[[Latents, np.ndarray], tuple[Tensor, Tensor]]
    density: Callable[[Latents, np.ndarray], Tensor]
    latents: Latents
    rows: np.ndarray
    log_joint: Tensor

    def step(self) -> Tensor:
        """One turn of both; which proposals of latents were accepted, `[Q, chains]`."""
        fresh, forward = self.propose(self.rows)
        after, outputs = self.judge(fresh, self.rows)
        before, kept = self.judge(self.latents, self.rows)
        ratio = after - before + self.density(self.latents, self.rows) - forward
        taken = torch.log(torch.rand_like(ratio)) < torch.nan_to_num(ratio, nan=-torch.inf)
        flat = taken.reshape(-1)
        self.latents = {
            name: torch.where(flat.reshape(-1, *[1] * (z.ndim - 1)), fresh[name], z) for name, z in self.latents.items()
        }
        outputs = torch.where(taken[..., None], outputs, kept)
        self.rows = draw(self.heads, outputs, self.queries)
        self.log_joint = torch.where(taken, after, before)
        return taken
