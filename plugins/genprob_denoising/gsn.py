"""Generative stochastic networks: a Markov chain that corrupts a row and reconstructs it, over any types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.engine.move import Metrics
from genprob.engine.state import Memory
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.model import Model
from genprob.nets.mlp import mlp
from genprob.query.batch import QueryBatch
from genprob.query.emission import draw as draw_rows
from genprob.query.emission import means
from genprob_denoising.corruption import Corruption, shown

_STARTS = 512
"""Rows that are kept: chains begin at them, and corruption lends their values."""
_DRAWN = 50
"""Transitions from a row to a draw."""


class GSN(Model):
    """A learned transition operator: corrupt a row, then draw each cell given what is left of all (Bengio et al. 2014).

    Its law is the one that the chain comes to (`chain`): that of the data where the reconstruction is right, which no
    product of cells quite is. There is no likelihood. `dsm` trains it to reconstruct rows from one corruption, a
    denoising autoencoder (Vincent et al. 2008; Bengio, Yao, Alain and Vincent 2013); `walkback` from what the chain
    itself makes of them.

    Queries hold the chain to their evidence, of every kind, each transition: heuristic.

    Arguments:
        schema: variables of any support.
        hidden: sizes of the network's layers.
        sigma: standard deviation of the Gaussian noise on reals, in those of the data.
        replace: probability that a category, binary or count is replaced by another row's.
        hide: probability that a cell is hidden.
    """

    inferences: ClassVar[tuple[str, ...]] = ("walkback", "dsm")
    law: str = "chain"
    precision = torch.float64
    starts: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: Sequence[int] = (128, 128),
        sigma: float = 0.5,
        replace: float = 0.1,
        hide: float = 0.1,
    ) -> None:
        super().__init__(schema)
        if not (sigma >= 0 and 0 <= replace < 1 and 0 <= hide < 1):
            raise UsageError(f"sigma={sigma}, replace={replace}, hide={hide}: noise cannot be negative, nor certain")
        if not sigma + replace + hide:
            raise UsageError("sigma=0, replace=0, hide=0: nothing is corrupted, so nothing is learned from it")
        self.corruption = Corruption(sigma, replace, hide)
        self.network = mlp(self.feature_width, hidden, self.emission_width)
        self._keep(1)

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        notes = super().prepare(batch, seed=seed)
        rows = torch.randperm(len(batch), device=batch.values.device)[:_STARTS]
        self._keep(len(rows))
        self.starts.copy_(_completed(batch.values.double(), batch.observed)[rows])
        return notes

    def structure(self) -> dict[str, Any]:
        return {"starts": len(self.starts)}

    def build(self, structure: dict[str, Any]) -> None:
        self._keep(structure["starts"])

    def _keep(self, rows: int) -> None:
        shape, device = (rows, self.schema.width), self._emission().offset.device
        self.register_buffer("starts", torch.zeros(shape, dtype=torch.float64, device=device))

    # --- training; see genprob.engine.capabilities.Reconstructs

    def begun(self, batch: Batch) -> Tensor:
        """Where a walk from rows begins, `[rows, width]`: the rows, cells of other rows in their holes."""
        lent = self.starts.gather(0, torch.randint(len(self.starts), batch.values.shape, device=self.starts.device))
        return torch.where(batch.observed, batch.values.double(), lent)

    def reconstruction(self, walked: Tensor, batch: Batch) -> Tensor:
        """-log p(known cells of the row | the walk corrupted once more) of each row, in nats, `[rows]`."""
        heads = self._emission()
        laws = heads.laws(self._outputs(walked, torch.ones_like(batch.observed)))
        out = torch.zeros(len(batch), dtype=torch.float64, device=walked.device)
        for name, law in laws.items():
            each = law.log_prob(heads.filled(batch, name, torch.get_default_dtype())).double()
            known = batch.mask(name)
            out = out - torch.where(known, each, 0.0).reshape(len(batch), -1).sum(1)
        return out

    @torch.no_grad()
    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Rows corrupted, and the means of their reconstruction; see `genprob.pictures.capabilities.Restores`."""
        heads = self._emission()
        values, observed = self.corruption(heads, batch.values.double(), batch.observed, self.starts)
        outputs = self.network(shown(heads, values, observed)).double()
        seen = torch.where(observed, values, torch.nan)
        return seen.cpu().numpy(), means(heads, heads.shifted(outputs)).cpu().numpy()

    @torch.no_grad()
    def walked(self, values: Tensor) -> Tensor:
        """One transition of rows `[rows, width]`."""
        return self.transition(values[None], QueryBatch.empty(self.schema, 1))[0]

    # --- the chain

    def transition(self, values: Tensor, queries: QueryBatch) -> Tensor:
        """One transition of complete rows `[Q, chains, width]`, the known columns drawn within the evidence."""
        flat = values.reshape(-1, values.shape[-1])
        outputs = self._outputs(flat, torch.ones_like(flat, dtype=torch.bool)).double()
        shifted = self._emission().shifted(outputs).reshape(*values.shape[:2], -1)
        return torch.as_tensor(draw_rows(self._emission(), shifted, queries), device=values.device)

    def _outputs(self, values: Tensor, observed: Tensor) -> Tensor:
        heads = self._emission()
        return self.network(shown(heads, *self.corruption(heads, values, observed, self.starts)))

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        nothing = QueryBatch.empty(self.schema, 1)
        rows = self.starts[torch.randint(len(self.starts), (draws,), device=self.starts.device)][None]
        for _ in range(_DRAWN):
            rows = self.transition(rows, nothing)
        return rows[0].cpu().numpy()

    def unwalkable(self, queries: QueryBatch) -> list[str]:
        return [""] * len(queries)

    def walk(self, queries: QueryBatch, chains: int) -> Walk:
        return Walk(self, queries, chains)


class Walk:
    """The chain held to the evidence of Q queries; see `genprob.query.capabilities.HeldChains`."""

    def __init__(self, model: GSN, queries: QueryBatch, chains: int) -> None:
        self.model, self.queries, self.chains = model, queries, chains

    def start(self) -> Tensor:
        rows = self.model.starts
        chosen = torch.randint(len(rows), (len(self.queries), self.chains), device=rows.device)
        return self.model.transition(rows[chosen], self.queries)

    def kernel(self, warmup: int) -> Kernel:
        return self

    def init(self, position: Tensor) -> Memory:
        return {}

    def step(self, position: Tensor, memory: Memory) -> tuple[Tensor, Memory, Metrics]:
        """One transition of `[Q, chains, width]`."""
        return self.model.transition(position, self.queries), memory, {}

    def rows(self, points: Tensor) -> np.ndarray:
        return points.cpu().numpy()

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        blank = np.full(len(self.queries), np.nan)
        return blank, blank


def _completed(values: Tensor, observed: Tensor) -> Tensor:
    """Rows with each hole filled by a known cell of the same column, drawn at random."""
    out = values.clone()
    for j in range(values.shape[1]):
        known = values[observed[:, j], j]
        holes = (~observed[:, j]).nonzero()[:, 0]
        if len(holes) and len(known):
            out[holes, j] = known[torch.randint(len(known), (len(holes),), device=values.device)]
    return out
