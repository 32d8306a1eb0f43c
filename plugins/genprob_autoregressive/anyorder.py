"""The residual any-order network: every variable given any others, on top of one Gaussian's exact conditionals."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pyro
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob.query.log_evidence import LogEvidence
from genprob.query.strategies import ancestral
from genprob_autoregressive import cells, plausibility
from genprob_autoregressive.atoms import Atoms
from genprob_autoregressive.consistency import disagreement
from genprob_autoregressive.contexts import NetworkContexts
from genprob_autoregressive.coordinates import Coordinates
from genprob_autoregressive.filling import dependence, filled
from genprob_autoregressive.gaussian import Gaussian, Moments
from genprob_autoregressive.inputs import Inputs
from genprob_autoregressive.levels import Levels
from genprob_autoregressive.logistics import log_mass
from genprob_autoregressive.masks import random_masks
from genprob_autoregressive.network import Network
from genprob_autoregressive.site import Site

LEAST_SCALE = 1e-3
MOST_NUMBERS = 400
MANY_LEVELS = 200
"""Levels of one variable from which the fit has a word of advice."""
_JUDGED = 8
"""Masks under which each held-out row is predicted."""
_PIECE = 1024
"""Rows that go through the network at once: their activations stay in the cache."""
_CELLS = 1_000_000
"""Numbers of the rows whose moments are worked out at once."""
_ONE = math.log(math.e - 1)  # softplus of it is 1


class ResidualAnyOrder(Model):
    """One-dimensional conditionals of every variable given any others, and through them the joint, in any order.

    One Gaussian over reals and counts (in encoded coordinates, fitted by EM where cells are missing) gives the exact
    mean and variance of every unknown number under any mask. A residual network is shown the known cells, these
    moments, each known number's leave-one-out surprise and which shared value it is, if any, and moves the
    conditionals away from the Gaussian's: numbers are a mixture of logistics around the Gaussian's mean plus the
    exact values that many rows share, scored by the probability of their cell; categories a softmax around their
    frequencies. Training hides a random part of every row and predicts it; natural holes are never shown nor
    predicted, so that a law is that of the rows in which the variable is seen, unless `fill` draws them.

    Orders need not agree: the joint is the mixture over orders, and answers say by how much they differ. Several
    networks that begin at different weights and are shown different masks are averaged as joint distributions: what
    is given decides which of them count (Lakshminarayanan, Pritzel and Blundell 2017, Simple and scalable predictive
    uncertainty estimation using deep ensembles).

    See also: Uria, Murray and Larochelle 2014, A deep and tractable density estimator; Germain et al. 2015, MADE.

    Arguments:
        hidden: width of the trunk.
        blocks: residual blocks of the trunk.
        dropout: share of activations dropped in training.
        logistics: components of the slab of a number.
        orders: orders over which log-probabilities are averaged.
        members: networks that are averaged; each costs a fit, and scores evidence anew.
        consistency: weight of the squared disagreement, in nats, of two orders of a pair of cells; 0 for none.
        fill: learn from holes too, drawn given the rest of their row: for holes that depend on what other columns hold.
    """

    inferences: ClassVar[tuple[str, ...]] = ("ml",)
    precision = torch.float64

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: int = 256,
        blocks: int = 2,
        dropout: float = 0.0,
        logistics: int = 10,
        orders: int = 8,
        members: int = 1,
        consistency: float = 0.0,
        fill: bool = False,
    ) -> None:
        super().__init__(schema)
        if hidden < 1 or blocks < 0 or logistics < 1 or orders < 1 or members < 1:
            raise UsageError("hidden, logistics, orders and members must be at least 1, blocks at least 0")
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout={dropout}: must be at least 0 and below 1")
        if not (math.isfinite(consistency) and consistency >= 0):
            raise UsageError(f"consistency={consistency}: must be at least 0")
        self.logistics, self.orders, self.members, self.consistency = logistics, orders, members, consistency
        self.fill = fill
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
        self.networks = nn.ModuleList(
            Network(self.inputs.width, n, width, hidden=hidden, blocks=blocks, dropout=dropout, logistics=logistics)
            for _ in range(members)
        )
        self.hidden, self.rows = hidden, 0
        self._allocate(0, 0)

    # --- structure and start

    def structure(self) -> dict[str, Any]:
        return {"atoms": self.atoms.width, "held": self.atoms.held, "rows": self.rows}

    def build(self, structure: dict[str, Any]) -> None:
        self.rows = int(structure["rows"])
        self._allocate(int(structure["atoms"]), int(structure["held"]))

    def _allocate(self, atoms: int, held: int) -> None:
        """So many atoms per number, and heads for them."""
        device = self.base.mean.device
        self.atoms = Atoms(len(self.coordinates), atoms).to(device)
        for network in self._networks:
            network.allocate(atoms, held, device)

    @property
    def _networks(self) -> list[Network]:
        return [network for network in self.networks if isinstance(network, Network)]

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
        self._allocate(atoms.width, atoms.held)
        self.atoms = atoms
        self.rows = len(batch)
        dependent = "" if self.fill else dependence(batch)
        return [dependent] * bool(dependent) + [
            f"{self.schema.columns[j].name} has {size:,} levels, {len(batch) / size:.1f} rows each, and each takes"
            " weights of its own: merge rare levels, or leave the variable out (schema={name: 'ignore'})"
            for j, size in zip(levels, self.levels.sizes, strict=True)
            if size > MANY_LEVELS
        ]

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

    def moments(self, values: Tensor, known: Tensor) -> Moments:
        """What the Gaussian says of the numbers of rows `[rows, width]` (data units) known where `known`."""
        numbers = self.coordinates.columns
        return self.base.moments(self.coordinates.encode(values[:, numbers]), known[:, numbers])

    def features(self, values: Tensor, known: Tensor, moments: Moments) -> Tensor:
        """What networks are shown of the same rows and their moments, `[rows, features]` float32."""
        numbers, columns = self.coordinates.columns, self.levels.columns
        shown, told = known[:, numbers], known[:, columns]
        hot = self.levels.one_hot(values[:, columns], told, torch.float32)
        frequency = torch.where(told[:, self.levels.owner], 0.0, self.levels.log_frequency.float())
        return self.inputs(moments, shown, hot, told, frequency, self.atoms.indicators(values[:, numbers], shown))

    def slab_of(self, raw: Tensor, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, locations and scales `[..., K]` from `raw [..., 3, K]` and the Gaussian's moments `[...]`."""
        ls = torch.log(sd).clamp(-5.0, 2.0)[..., None]
        weight, shift, spread = raw.unbind(-2)
        return torch.log_softmax(weight, -1), mean[..., None] + torch.exp(ls) * shift, \
            softplus(spread + ls + _ONE) + LEAST_SCALE  # fmt: skip

    def log_cells(self, values: Tensor, known: Tensor, member: int = 0) -> Tensor:
        """log p of every cell of `values [rows, width]` given the cells where `known`, `[rows, width]`, by a member.

        In the units of the variables' measures; differentiable in the parameters.
        """
        network = self._networks[member]
        moments = self.moments(values, known)
        h = network(self.features(values, known, moments))
        numbers, columns = self.coordinates.columns, self.levels.columns
        out = torch.zeros(values.shape, dtype=torch.float32, device=values.device)
        if numbers:
            x = values[:, numbers]
            mean, sd = moments.mean.float(), moments.sd.float()
            raw = network.slab(h).view(len(h), len(numbers), 3, self.logistics)
            weight, loc, scale = self.slab_of(raw, mean, sd)
            lo, hi = self.coordinates.edges(x)
            # The width apart, in float64: it must not drown in the rounding of the cell's ends.
            low, high, width = (e.float()[..., None] for e in (lo, hi, hi - lo))
            share = torch.log_softmax(
                network.masses(h).view(len(h), len(numbers), -1)
                + self.atoms.log_prior(mean, sd, self.coordinates.grain),
                -1,
            )
            log_p = share[..., 0] + torch.logsumexp(weight + log_mass(low, high, loc, scale, width), -1)
            if self.atoms.width:
                held = torch.where(self.atoms.matches(x), share[..., 1:], -torch.inf).amax(-1)
                log_p = torch.logaddexp(log_p, held)
            out[:, numbers] = log_p + self.coordinates.log_volume(x).float()
        if columns:
            log_p = self.levels.log_probs(network.softmax(h) + self.levels.log_frequency.float())
            out[:, columns] = log_p.gather(1, values[:, columns].long() + self.levels.first)
        return out

    # --- queries

    @torch.no_grad()
    def contexts(self, values: Tensor, known: Tensor, member: Tensor | None = None) -> NetworkContexts:
        member = None if self.members == 1 else member
        h = torch.empty(len(values), self.hidden, device=values.device)
        mean, sd = (values.new_empty(len(values), len(self.coordinates)) for _ in range(2))
        # Patterns are sorted out over many rows, of which many share one; activations are to stay in the cache.
        many = max(_PIECE, _CELLS // max(1, len(self.coordinates)))
        for some in torch.arange(len(values), device=values.device).split(many):
            moments = self.moments(values[some], known[some])
            mean[some], sd[some] = moments.mean, moments.sd
            for part in torch.arange(len(some), device=values.device).split(_PIECE):
                at = some[part]
                features = self.features(values[at], known[at], moments.take(part))
                h[at] = self._read(features, None if member is None else member[at])
        return NetworkContexts(self, h, mean, sd, member)

    def _read(self, features: Tensor, member: Tensor | None) -> Tensor:
        """What the heads read of rows, each by its own member, `[rows, hidden]`."""
        if member is None:
            return self._networks[0](features)
        out = features.new_empty(len(features), self.hidden)
        for m in torch.unique(member).tolist():
            out[member == m] = self._networks[m](features[member == m])
        return out

    def log_conditionals(self, values: np.ndarray) -> np.ndarray:
        return cells.log_conditionals(self, QueryBatch.from_values(self.schema, values))

    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        return ancestral.log_evidence(self, queries)

    def log_conditional(self, queries: QueryBatch, given: np.ndarray) -> LogEvidence:
        return ancestral.log_conditional(self, queries, given)

    def draw(self, draws: int) -> np.ndarray:
        return ancestral.draw(self, QueryBatch.empty(self.schema, 1), draws)[0]

    @torch.no_grad()
    def score_rows(self, batch: Batch) -> Tensor:
        return plausibility.score_rows(self, batch)

    @torch.no_grad()
    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        return plausibility.score_masks(self, batch, masks)

    # --- the Pyro program

    def model(self, batch: Batch) -> None:
        """One site per variable in the schema's order, each given those before it; holes are drawn, and shown to none.

        An observed site's log-probability is that of the variable's known cells.
        """
        values, known = batch.values.double().clone(), torch.zeros_like(batch.observed)
        with batch.plate():
            for variable in self.schema:
                columns = self.schema.slices[variable.name]
                law = Site(self, values.clone(), known.clone(), columns, variable.shape, batch.observed[:, columns])
                drawn = pyro.sample(variable.name, law, obs=batch[variable.name].double())
                values[:, columns] = drawn.reshape(len(batch), -1)
                known[:, columns] = batch.observed[:, columns]

    # --- learning

    def log_density(self, batch: Batch) -> Tensor:
        """An estimate of each row's log p by predicting a random part of its known cells from the others, `[rows]`.

        The mean over members, each shown cells of its own; less what disagreement costs.
        """
        found = [self._predicted(filled(self, batch, m) if self.fill else batch, m) for m in range(self.members)]
        if self.consistency:
            cost = torch.stack([disagreement(self, batch, m) for m in range(self.members)]).mean()
            found.append(-self.members * self.consistency * cost.expand(len(batch)))
        return torch.stack(found).sum(0) / self.members

    def _predicted(self, batch: Batch, member: int) -> Tensor:
        values, observed = batch.values.double(), batch.observed
        shown = random_masks(len(batch), observed.shape[1], observed.device)
        hidden = observed & ~shown
        log_p = torch.where(hidden, self.log_cells(values, observed & shown, member), 0.0)
        return log_p.sum(1) * (len(batch) / hidden.sum().clamp(min=1))

    def validate(self, batch: Batch) -> Tensor:
        """The prediction under the same `_JUDGED` masks whatever the parameters, `[rows]`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(len(batch))
            each = [self._predicted(batch, m) for _ in range(_JUDGED) for m in range(self.members)]
            return torch.stack(each).mean(0)
