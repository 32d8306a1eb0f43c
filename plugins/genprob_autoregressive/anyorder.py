"""The residual any-order network: every variable given any others, on top of one Gaussian's exact conditionals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.model import Model
from genprob.nets.residual import ResidualTrunk
from genprob.query.batch import QueryBatch
from genprob.query.log_evidence import LogEvidence
from genprob.query.strategies import ancestral
from genprob_autoregressive.atoms import Atoms
from genprob_autoregressive.coordinates import Coordinates
from genprob_autoregressive.gaussian import Gaussian, Moments
from genprob_autoregressive.inputs import Inputs
from genprob_autoregressive.laws import LevelLaw
from genprob_autoregressive.levels import Levels
from genprob_autoregressive.logistics import log_mass
from genprob_autoregressive.slab import SlabLaw

LEAST_SCALE = 1e-3
MASKS = 64
"""Distinct masks in a batch: the Gaussian inverts a matrix for each."""
MOST_NUMBERS = 400
_JUDGED = 8
"""Masks under which each held-out row is predicted."""
_PIECE = 1024
"""Rows that go through the network at once: their activations stay in the cache."""
_ONE = math.log(math.e - 1)  # softplus of it is 1


class ResidualAnyOrder(Model):
    """One-dimensional conditionals of every variable given any others, and through them the joint, in any order.

    One Gaussian over reals and counts (in encoded coordinates, fitted by EM where cells are missing) gives the exact
    mean and variance of every unknown number under any mask. A residual network is shown the known cells, these
    moments and each known number's leave-one-out surprise, and moves the conditionals away from the Gaussian's:
    numbers are a mixture of logistics around the Gaussian's mean plus the exact values that many rows share, scored
    by the probability of their cell; categories a softmax around their frequencies. Training hides a random part of
    every row and predicts it; natural holes are never shown nor predicted.

    Orders need not agree: the joint is the mixture over orders, and `log_evidence` says by how much they differ.

    See also: Uria, Murray and Larochelle 2014, A deep and tractable density estimator; Germain et al. 2015, MADE.

    Arguments:
        hidden: width of the trunk.
        blocks: residual blocks of the trunk.
        dropout: share of activations dropped in training.
        logistics: components of the slab of a number.
        orders: orders over which log-probabilities are averaged.
    """

    inferences: ClassVar[tuple[str, ...]] = ("ml",)
    precision = torch.float64

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: int = 256,
        blocks: int = 3,
        dropout: float = 0.1,
        logistics: int = 10,
        orders: int = 8,
    ) -> None:
        super().__init__(schema)
        if hidden < 1 or blocks < 0 or logistics < 1 or orders < 1:
            raise UsageError("hidden, logistics and orders must be at least 1, blocks at least 0")
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout={dropout}: must be at least 0 and below 1")
        self.logistics, self.orders = logistics, orders
        self.coordinates = Coordinates(schema)
        self.levels = Levels(schema)
        n, c, width = len(self.coordinates), len(self.levels), self.levels.width
        if n > MOST_NUMBERS:
            raise UsageError(
                f"anyorder inverts a matrix over the {n} numbers of a row for every mask, and takes {MOST_NUMBERS}."
                " Leave columns out (schema={name: 'ignore'}, or --ignore NAME), or take another model (genprob models)"
            )
        self.base = Gaussian(n)
        self.inputs = Inputs(n, c, width)
        self.trunk = ResidualTrunk(self.inputs.width, hidden=hidden, blocks=blocks, dropout=dropout)
        self.hidden = hidden
        self.rows = 0
        self._allocate(0)

    # --- structure and start

    def structure(self) -> dict[str, Any]:
        return {"atoms": self.atoms.width, "rows": self.rows}

    def build(self, structure: dict[str, Any]) -> None:
        self.rows = int(structure["rows"])
        self._allocate(int(structure["atoms"]))

    def _allocate(self, atoms: int) -> None:
        """Heads of a slab and so many atoms per number; they start at the Gaussian and the frequencies."""
        n, k, device = len(self.coordinates), self.logistics, self.base.mean.device
        self.atoms = Atoms(n, atoms).to(device)
        self.slab = _head(self.hidden, n * 3 * k, device)
        self.masses = _head(self.hidden, n * (1 + atoms), device)
        self.softmax = _head(self.hidden, self.levels.width, device)
        with torch.no_grad():
            start = self.slab.bias.view(n, 3, k)
            start[:, 1] = torch.linspace(-1.5, 1.5, k, device=device) if k > 1 else 0.0
            start[:, 2] = -1.0 if k > 1 else -0.8

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Fits coordinates, Gaussian, atoms, bins and frequencies to the training rows."""
        values, observed = batch.values.double(), batch.observed
        numbers, levels = self.coordinates.columns, self.levels.columns
        x, known = values[:, numbers], observed[:, numbers]
        self.coordinates.fit(x, known)
        y = self.coordinates.encode(x)
        self.base.fit(y, known)
        self.inputs.fit(y, known)
        self.levels.fit(values[:, levels], observed[:, levels])
        atoms = Atoms.of(x, y, known)
        self._allocate(atoms.width)
        self.atoms = atoms
        self.rows = len(batch)
        return []

    @property
    def recipe(self) -> dict[str, dict[str, Any]]:
        """What suits the model best, by inference: about 150 epochs, within bounds."""
        epoch = max(1, -(-self.rows // 512))
        ml = {
            "steps": min(max(150 * epoch, 1000), 6000), "lr": 1e-3, "batch_size": 512, "clip": 1.0,
            "weight_decay": 0.01, "ema": 0.995, "holdout": 0.08,
        }  # fmt: skip
        return {"ml": ml}

    # --- the network

    def encode(self, values: Tensor, known: Tensor) -> tuple[Tensor, Moments]:
        """What the heads read of rows `[rows, width]` (data units) known where `known`: `[rows, hidden]`, moments."""
        numbers, columns = self.coordinates.columns, self.levels.columns
        shown, told = known[:, numbers], known[:, columns]
        y = torch.where(shown, self.coordinates.encode(values[:, numbers]), 0.0)
        moments = self.base.moments(y, shown)
        hot = self.levels.one_hot(values[:, columns], told)
        frequency = torch.where(told[:, self.levels.owner], 0.0, self.levels.log_frequency)
        return self.trunk(self.inputs(y, shown, moments, hot, told, frequency)), moments

    def slab_of(self, raw: Tensor, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, locations and scales `[..., K]` from `raw [..., 3, K]` and the Gaussian's moments `[...]`."""
        ls = torch.log(sd).clamp(-5.0, 2.0)[..., None]
        weight, shift, spread = raw.unbind(-2)
        return torch.log_softmax(weight, -1), mean[..., None] + torch.exp(ls) * shift, \
            softplus(spread + ls + _ONE) + LEAST_SCALE  # fmt: skip

    def log_cells(self, values: Tensor, known: Tensor) -> Tensor:
        """log p of every cell of `values [rows, width]` given the cells where `known`, `[rows, width]`.

        In the units of the variables' measures; differentiable in the parameters.
        """
        h, moments = self.encode(values, known)
        numbers, columns = self.coordinates.columns, self.levels.columns
        out = torch.zeros(values.shape, dtype=torch.float32, device=values.device)
        if numbers:
            x = values[:, numbers]
            mean, sd = moments.mean.float(), moments.sd.float()
            raw = self.slab(h).view(len(h), len(numbers), 3, self.logistics)
            weight, loc, scale = self.slab_of(raw, mean, sd)
            lo, hi = self.coordinates.edges(x)
            # The width apart, in float64: it must not drown in the rounding of the cell's ends.
            low, high, width = (e.float()[..., None] for e in (lo, hi, hi - lo))
            share = torch.log_softmax(
                self.masses(h).view(len(h), len(numbers), -1) + self.atoms.log_prior(mean, sd, self.coordinates.grain),
                -1,
            )
            log_p = share[..., 0] + torch.logsumexp(weight + log_mass(low, high, loc, scale, width), -1)
            if self.atoms.width:
                held = torch.where(self.atoms.matches(x), share[..., 1:], -torch.inf).amax(-1)
                log_p = torch.logaddexp(log_p, held)
            out[:, numbers] = log_p + self.coordinates.log_volume(x).float()
        if columns:
            log_p = self.levels.log_probs(self.softmax(h) + self.levels.log_frequency.float())
            out[:, columns] = log_p.gather(1, values[:, columns].long() + self.levels.first)
        return out

    # --- queries

    @torch.no_grad()
    def contexts(self, values: Tensor, known: Tensor) -> NetworkContexts:
        parts = [self.encode(v, k) for v, k in zip(values.split(_PIECE), known.split(_PIECE), strict=True)]
        h = torch.cat([h for h, _ in parts])
        mean, sd = (torch.cat([getattr(m, name) for _, m in parts]) for name in ("mean", "sd"))
        return NetworkContexts(self, h, mean, sd)

    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        return ancestral.log_evidence(self, queries)

    def log_conditional(self, queries: QueryBatch, given: np.ndarray) -> LogEvidence:
        return ancestral.log_conditional(self, queries, given)

    def draw(self, draws: int) -> np.ndarray:
        return ancestral.draw(self, QueryBatch.empty(self.schema, 1), draws)[0]

    def score_rows(self, batch: Batch) -> Tensor:
        """Of the Gaussian and the frequencies, the categories taken as independent; in data units."""
        return self.score_masks(batch, torch.ones_like(batch.observed[:1]))[0]

    @torch.no_grad()
    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        numbers, columns = self.coordinates.columns, self.levels.columns
        values = batch.values.double()
        y = self.coordinates.encode(values[:, numbers])
        volume = self.coordinates.log_volume(values[:, numbers])
        volume = volume + torch.log(self.coordinates.grain)
        share = self.levels.log_frequency[values[:, columns].long() + self.levels.first]
        out = []
        for mask in masks:
            known = batch.observed & mask
            shown = known[:, numbers]
            score = self.base.moments(y, shown).log_density + torch.where(shown, volume, 0.0).sum(1)
            out.append(score + torch.where(known[:, columns], share, 0.0).sum(1))
        return torch.stack(out)

    # --- the Pyro program

    def model(self, batch: Batch) -> None:
        """One site per variable in the schema's order, each given those before it; holes are drawn, and shown to none.

        An observed site's log-probability is that of the variable's known cells.
        """
        values, known = batch.values.double().clone(), torch.zeros_like(batch.observed)
        with batch.plate():
            for variable in self.schema:
                columns = self.schema.slices[variable.name]
                law = _Site(self, values.clone(), known.clone(), columns, variable.shape, batch.observed[:, columns])
                drawn = pyro.sample(variable.name, law, obs=batch[variable.name].double())
                values[:, columns] = drawn.reshape(len(batch), -1)
                known[:, columns] = batch.observed[:, columns]

    # --- learning

    def log_density(self, batch: Batch) -> Tensor:
        """An estimate of each row's log p by predicting a random part of its known cells from the others, `[rows]`."""
        values, observed = batch.values.double(), batch.observed
        shown = random_masks(len(batch), observed.shape[1], observed.device)
        hidden = observed & ~shown
        log_p = torch.where(hidden, self.log_cells(values, observed & shown), 0.0)
        return log_p.sum(1) * (len(batch) / hidden.sum().clamp(min=1))

    def validate(self, batch: Batch) -> Tensor:
        """`log_density` under the same `_JUDGED` masks whatever the parameters, `[rows]`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(len(batch))
            return torch.stack([self.log_density(batch) for _ in range(_JUDGED)]).mean(0)


class _Site(dist.TorchDistribution):
    """One variable given what of the others is known, its own columns one after the other.

    Log-probabilities are those of the columns where `observed`; batch shape `[rows]`.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, network: ResidualAnyOrder, values: Tensor, known: Tensor, columns: slice, shape: tuple[int, ...],
        observed: Tensor,
    ) -> None:  # fmt: skip
        self.network, self.values, self.known, self.columns, self.observed = network, values, known, columns, observed
        super().__init__(values.shape[:1], torch.Size(shape), validate_args=False)

    @property
    def support(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The real line; laws keep draws within the variable's own support."""
        return dist.constraints.real

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Site:
        if torch.Size(batch_shape) != self.batch_shape:
            raise NotImplementedError("the rows of a batch are what they are")
        return self

    def log_prob(self, value: Tensor) -> Tensor:
        values, known = self.values.clone(), self.known.clone()
        values[:, self.columns] = value.reshape(len(values), -1)
        out = torch.zeros(len(values), dtype=torch.float32, device=values.device)
        for position, j in enumerate(range(*self.columns.indices(values.shape[1]))):
            seen = self.observed[:, position]
            out = out + torch.where(seen, self.network.log_cells(values, known)[:, j], 0.0)
            known[:, j] = seen
        return out

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        if torch.Size(sample_shape):
            raise NotImplementedError("one draw of each row at a time")
        values, known = self.values.clone(), self.known.clone()
        for j in range(*self.columns.indices(values.shape[1])):
            values[:, j] = self.network.contexts(values, known).law(j).draw()
            known[:, j] = True
        return values[:, self.columns].reshape(len(values), *self.event_shape)


@dataclass(frozen=True, eq=False)
class NetworkContexts:
    """Partly known rows as the heads read them: `h [n, hidden]`, and the Gaussian's `mean` and `sd` `[n, numbers]`."""

    network: ResidualAnyOrder
    h: Tensor
    mean: Tensor
    sd: Tensor

    @torch.no_grad()
    def law(self, column: int, rows: Tensor | None = None) -> LevelLaw | SlabLaw:
        model = self.network
        h = self.h if rows is None else self.h[rows]
        if column in model.levels.columns:
            at = model.levels.slice(model.levels.columns.index(column))
            logits = linear(h, model.softmax.weight[at], model.softmax.bias[at]).double()
            log_p = torch.log_softmax(logits + model.levels.log_frequency[at], 1)
            return LevelLaw(column, log_p, model.schema.columns[column].support.kind == "binary")
        c = model.coordinates.columns.index(column)
        mean, sd = (m[:, c] if rows is None else m[rows, c] for m in (self.mean, self.sd))
        width, atoms = 3 * model.logistics, 1 + model.atoms.width
        part, own = slice(c * width, (c + 1) * width), slice(c * atoms, (c + 1) * atoms)
        raw = linear(h, model.slab.weight[part], model.slab.bias[part]).double().view(len(h), 3, model.logistics)
        weight, loc, scale = model.slab_of(raw, mean, sd)
        masses = linear(h, model.masses.weight[own], model.masses.bias[own]).double()
        share = torch.log_softmax(masses + model.atoms.log_prior(mean, sd, model.coordinates.grain, c), 1)
        value, place = model.atoms.value[c], model.atoms.place[c]
        return SlabLaw(model.coordinates, c, column, weight + share[:, :1], loc, scale, share[:, 1:], value, place)


def _head(hidden: int, width: int, device: torch.device) -> nn.Linear:
    """A linear map that starts at zero."""
    head = nn.Linear(hidden, 1, device=device)  # of its own width it would warn where there is nothing to map to
    head.out_features = width
    head.weight = nn.Parameter(torch.zeros(width, hidden, device=device))
    head.bias = nn.Parameter(torch.zeros(width, device=device))
    return head


def random_masks(rows: int, width: int, device: torch.device) -> Tensor:
    """`[rows, width]` bool, True where a cell is shown: at most `MASKS` distinct ones.

    The number of shown cells is uniform on 0..width-1, stratified over the masks; which ones is random.
    """
    distinct = min(MASKS, rows)
    # Drawn on the CPU whatever the device, so that one generator decides.
    shown = ((torch.arange(distinct) + torch.rand(distinct)) / distinct * width).long()
    rank = torch.rand(distinct, width).argsort(1).argsort(1)
    return (rank < shown[:, None])[torch.arange(rows) % distinct].to(device)
