"""Annealed sequential Monte Carlo: from a law that covers everything to the conditional, rung by rung."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.engine.kernels.smc import Annealed, Cooling, Path, anneal
from genprob.query import roles
from genprob.query.batch import POINT, QueryBatch, alike
from genprob.query.capabilities import Anneals, JointDensity
from genprob.query.density import DensityPath
from genprob.query.strategy import PARTICLES, Answers, Offer, Refusal
from genprob.query.weighted import marginals
from genprob.results.join import join_marginals
from genprob.results.record import Marginal

if TYPE_CHECKING:
    from genprob.joint import Joint

ISLANDS = 4
LEAST_ANCESTORS = 30.0
LEAST_ACCEPTANCE = 0.02
_ROWS = 65_536
"""Particles that are moved at once."""


class AnnealedSMC:
    """Annealed sequential Monte Carlo on a ladder of temperatures that each query chooses for itself.

    Latent programs go from the prior of their latents to prior times p(evidence | latents); models known by a joint
    density go from broad independent laws over the unknown cells to the density, intervals as coordinates without
    bounds. Every chain starts from everywhere, so a mode that a guide never proposes is found.

    Four islands run apart. Their mean estimates the evidence without bias, its error is the larger of what their
    spread and what their families say, and they must agree. The computation also fails when the particles that are
    left descend from few, or when hardly a proposal is accepted.

    See also: Del Moral, Doucet and Jasra 2006, Sequential Monte Carlo samplers; Zhou, Johansen and Aston 2016, Toward
    automatic model comparison: an adaptive sequential Monte Carlo approach.
    """

    name = "smc"
    roles = True

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        model = joint.model
        if isinstance(model, Anneals):
            reason = model.unannealed()
            if not reason:
                offer = _offer("the latents' prior is cooled to their law given the evidence")
                return [roles.NOTHING_MOVES if h else offer for h in roles.held(queries, joint.schema)]
        else:
            reason = "the model has neither a joint density nor latents with a prior"
        if isinstance(model, JointDensity):
            nothing = Refusal("nothing is unknown")
            offer = _offer("a broad law is cooled to the joint density under the evidence")
            return [offer if u else nothing for u in (queries.kind != POINT).any(1)]
        return [Refusal(reason, lacking=True)] * len(queries)

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        particles = max(8, (budget or PARTICLES) // ISLANDS)
        step = max(1, _ROWS // (particles * ISLANDS))
        parts, order = [], []
        latent = isinstance(joint.model, Anneals) and not joint.model.unannealed()
        groups = [np.arange(len(queries))] if latent else alike(queries)
        for index in groups:
            for first in range(0, len(index), step):
                chosen = index[first : first + step]
                order.append(chosen)
                answer = _by_latents if latent else _by_density
                parts.append(answer(joint, queries.take(chosen), particles, draws))
        return _joined(parts, np.argsort(np.concatenate(order), kind="stable"), queries.targets)


def _offer(reason: str) -> Offer:
    return Offer("consistent", "joint", "particles", 20.0 * PARTICLES, reason)


@dataclass(frozen=True)
class _Islands:
    """Particles of all islands of each query, pooled.

    Attributes:
        points: `[Q, islands * J, width]`.
        log_weight: the same, normalised over each query.
        family: `[Q, islands * J]`.
        each: `[Q, islands]` log-evidence by each island.
    """

    annealed: Annealed
    points: Tensor
    log_weight: Tensor
    family: Tensor
    each: np.ndarray

    @classmethod
    def of(cls, annealed: Annealed) -> _Islands:
        groups, particles, width = annealed.points.shape
        shape = (groups // ISLANDS, ISLANDS)
        each = annealed.log_ratio.reshape(shape)
        among = torch.log_softmax(torch.where(torch.isfinite(each).any(1, keepdim=True), each, 0.0), 1)
        own = torch.nan_to_num(annealed.log_weight, nan=-torch.inf).reshape(*shape, particles)
        first = particles * torch.arange(ISLANDS, device=own.device)[:, None]
        return cls(
            annealed,
            annealed.points.reshape(shape[0], -1, width),
            (own + among[..., None]).flatten(1),
            (annealed.ancestor.reshape(*shape, particles) + first).flatten(1),
            each.cpu().numpy(),
        )

    @property
    def log_evidence(self) -> np.ndarray:
        return np.logaddexp.reduce(self.each, axis=1) - np.log(ISLANDS)

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors of the log-evidence, by the islands' spread and by the families within them."""
        with np.errstate(invalid="ignore"):
            relative = np.exp(self.each - self.log_evidence[:, None])
        inside = self.annealed.variance.reshape(self.each.shape).cpu().numpy()
        spread = np.sqrt(((relative - 1) ** 2).sum(1) / (ISLANDS * (ISLANDS - 1)))
        return spread, np.sqrt((relative**2 * inside).sum(1)) / ISLANDS

    def ancestors(self) -> np.ndarray:
        """Effective number of ancestors: one over the sum of squared weights of families."""
        weight = self.log_weight.exp()
        family = torch.zeros_like(weight).scatter_add_(1, self.family, weight)
        return (1 / family.square().sum(1).clamp(min=1e-300)).cpu().numpy()

    def per_query(self, of: Tensor) -> np.ndarray:
        return of.reshape(self.each.shape).double().cpu().numpy()

    def failures(self, moving: bool) -> list[str]:
        """Why each query's computation failed; `moving` where a proposal in continuous coordinates can be refused."""
        spread, inside = self.errors()
        ancestors, total = self.ancestors(), self.log_weight.shape[1]
        acceptance = self.per_query(self.annealed.acceptance).min(1)
        finished = self.per_query(self.annealed.finished).min(1) > 0
        out = []
        for q, each in enumerate(self.each):
            if not np.isfinite(each).any():
                out.append(f"no particle of {total} met the evidence; it may have probability zero under the joint")
            elif not finished[q]:
                out.append("the ladder of temperatures did not end")
            elif moving and acceptance[q] < LEAST_ACCEPTANCE:
                out.append(f"{100 * acceptance[q]:.1f} % of proposals were accepted; the particles hardly moved")
            elif ancestors[q] < min(LEAST_ANCESTORS, total / 8):
                out.append(f"{total} particles descend from effectively {ancestors[q]:.0f}")
            elif not np.isfinite(each).all() or (spread[q] > 4 * inside[q] + 0.02 and np.ptp(each) > 0.1):
                texts = ", ".join(f"{e:.3f}" for e in each)
                out.append(f"{ISLANDS} islands disagree on the log-evidence: {texts}")
            else:
                out.append("")
        return out

    def answers(
        self,
        values: np.ndarray,
        found: dict[str, Marginal],
        *,
        moving: bool,
        log_partition: float = 0.0,
        log_partition_se: float = 0.0,
    ) -> Answers:
        spread, inside = self.errors()
        lost = ~np.isfinite(self.each).any(1)
        values[lost] = np.nan
        blank = np.full(len(values), np.nan)
        ancestors = self.ancestors()
        return Answers(
            values=values[:, None],
            marginals=found,
            log_evidence=self.log_evidence - log_partition,
            log_evidence_se=np.hypot(np.where(lost, np.inf, np.maximum(spread, inside)), log_partition_se),
            ess=np.where(lost, 0.0, ancestors),
            khat=blank,
            rhat=blank,
            failures=self.failures(moving),
            stats={
                "acceptance": self.per_query(self.annealed.acceptance).min(1),
                "temperatures": self.per_query(self.annealed.temperatures).max(1),
                "ancestors": ancestors,
            },
        )


def _islands(path: Path, kernel: Cooling, particles: int) -> _Islands:
    return _Islands.of(anneal(path, kernel, particles))


def _repeated(queries: QueryBatch) -> QueryBatch:
    """Every query as many times as there are islands, one after the other."""
    return queries.take(np.repeat(np.arange(len(queries)), ISLANDS))


def _drawn(islands: _Islands, draws: int) -> Tensor:
    return torch.multinomial(islands.log_weight.exp().nan_to_num() + 1e-300, draws, replacement=True)


def _by_latents(joint: Joint, queries: QueryBatch, particles: int, draws: int) -> Answers:
    model = joint.model
    assert isinstance(model, Anneals)
    path = model.path(_repeated(queries))
    width = path.start(1).shape[-1]
    islands = _islands(path, Cooling(path, tuple(range(width)), gradient=True), particles)
    cloud = model.cloud(queries, islands.points, islands.log_weight)
    index = torch.arange(islands.log_weight.shape[1], device=islands.points.device).expand_as(islands.log_weight)
    each = np.stack([cloud.draw(index) for _ in range(4)], 2)
    found = _marginals(queries, each, islands)
    return islands.answers(cloud.draw(_drawn(islands, draws)), found, moving=True)


def _by_density(joint: Joint, queries: QueryBatch, particles: int, draws: int) -> Answers:
    model = joint.model
    assert isinstance(model, JointDensity)
    seen = joint.reference
    rows = np.where(seen.observed.cpu().numpy(), seen.values.double().cpu().numpy(), np.nan)
    path = DensityPath(model, _repeated(queries), rows, seen.values.device)
    size = None if path.size is None else path.size
    kernel = Cooling(path, path.continuous, path.listed, size, path.differentiable())
    islands = _islands(path, kernel, particles)
    one = DensityPath(model, queries, rows, seen.values.device)
    values = one.rows(islands.points).cpu().numpy()
    for j, variable in enumerate(queries.schema.columns):
        if variable.cell is not None:
            values[..., j] = variable.cell.snap(values[..., j])
    found = _marginals(queries, values[:, :, None], islands)
    index = _drawn(islands, draws).cpu().numpy()
    return islands.answers(
        np.take_along_axis(values, index[..., None], 1),
        found,
        moving=bool(path.continuous),
        log_partition=float(model.log_partition),
        log_partition_se=float(model.log_partition_se),
    )


def _marginals(queries: QueryBatch, values: np.ndarray, islands: _Islands) -> dict[str, Marginal]:
    log_weight, family = islands.log_weight.cpu().numpy(), islands.family.cpu().numpy()
    return marginals(queries.schema, values, log_weight, queries.targets, family)


def _joined(parts: list[Answers], back: np.ndarray, targets: tuple[str, ...]) -> Answers:
    """One answer of parts, its queries put at the places `back`."""
    arrays = ("values", "log_evidence", "log_evidence_se", "ess", "khat", "rhat")
    failures = [why for part in parts for why in part.failures]
    return Answers(
        **{name: np.concatenate([getattr(p, name) for p in parts])[back] for name in arrays},
        marginals={n: join_marginals([p.marginals[n] for p in parts]).take(back) for n in targets},
        failures=[failures[b] for b in back],
        stats={name: np.concatenate([p.stats[name] for p in parts])[back] for name in parts[0].stats},
    )
