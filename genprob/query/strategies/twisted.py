"""Twisted sequential Monte Carlo: a diffusion's particles are steered by what the evidence will say of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Diffuses
from genprob.query.empirical import marginals
from genprob.query.regions import Regions
from genprob.query.strategy import PARTICLES, Answers, Offer, Refusal
from genprob.results.join import join_marginals

if TYPE_CHECKING:
    from genprob.joint import Joint

LAW = "diffusion"
ISLANDS = 8
"""Independent runs that the particles of a query are split into: their evidences show each other's error."""
_RESAMPLE = 0.5
"""Share of the particles below which the effective sample size asks for resampling."""
_LEAST_ESS = 50.0
_MOST_ERROR = 0.5
"""Standard error of the log-evidence, in nats, above which an answer is not trusted."""
_ROWS = 100_000
"""Particles of all queries that are moved at once."""


@dataclass(frozen=True, eq=False)
class Particles:
    """Weighted rows of Q queries from independent islands.

    Attributes:
        points: `[Q, J, D]` encoded coordinates.
        log_weight: `[Q, J]`; their log-sum-exp is the log-evidence.
        island: `[J]` which run each comes from.
        family: `[Q, J]` which particle of the start each descends from.
    """

    points: Tensor
    log_weight: Tensor
    island: Tensor
    family: Tensor

    @property
    def log_evidence(self) -> Tensor:
        """`[Q]`, an unbiased estimate of the evidence, in encoded coordinates."""
        return torch.logsumexp(self.log_weight, 1)

    @property
    def error(self) -> Tensor:
        """`[Q]` standard error of the log-evidence, from the spread of the islands."""
        count = int(self.island.max()) + 1
        each = torch.stack([torch.logsumexp(self.log_weight[:, self.island == i], 1) for i in range(count)], 1)
        share = torch.exp(each - torch.logsumexp(each, 1, keepdim=True)).nan_to_num() * count
        return share.std(1) / math.sqrt(count)

    @property
    def ess(self) -> Tensor:
        """`[Q]` effective number of particles of the start that have descendants."""
        weight = torch.softmax(torch.where(torch.isfinite(self.log_weight), self.log_weight, -1e300), 1)
        families = torch.zeros_like(weight).scatter_add_(1, self.family, weight)
        return 1 / families.square().sum(1)


def particles(model: Diffuses, regions: Regions, count: int) -> Particles:
    """Runs the discretised diffusion of a model from noise to rows that meet the evidence.

    Its law is that of `levels` Gaussian steps, each with the mean that the score gives and the variance that a unit
    normal would have. Each step is steered by the gradient of p(evidence | the denoised point), and weighted so that
    the error vanishes as the particles grow (Wu, Trippe, Naesseth, Blei and Cunningham 2023, Practical and
    asymptotically exact conditional sampling in diffusion models).

    Arguments:
        model: of D reals.
        regions: the evidence of Q queries.
        count: particles per query, a multiple of `ISLANDS`.
    """
    queries, width = regions.point.shape
    own = count // ISLANDS
    runs = torch.arange(queries, device=regions.point.device).repeat_interleave(ISLANDS)
    many = regions.take(runs)
    levels = model.levels.flip(0)
    start = math.sqrt(1 + float(levels[0]) ** 2)
    x = start * torch.randn(len(runs), own, width, dtype=torch.float64, device=levels.device)
    log_weight = torch.full((len(runs), own), -math.log(count), dtype=torch.float64, device=levels.device)
    family = torch.arange(own, device=levels.device).expand(len(runs), own)
    twist, score, pull = _twisted(model, many, x, levels[0])
    log_weight = log_weight + twist
    for high, low in itertools.pairwise(levels):
        chosen, log_weight = _resampled(log_weight)
        family = family.gather(1, chosen)
        wide = chosen[..., None].expand_as(x)
        x, score, pull, twist = x.gather(1, wide), score.gather(1, wide), pull.gather(1, wide), twist.gather(1, chosen)
        drift, spread = high**2 - low**2, _step_sd(high, low)
        free = x + drift * score
        noise = torch.randn_like(x)
        x = free + drift * pull + spread * noise
        back = (x - free) / spread
        transition = 0.5 * (noise.square() - back.square()).sum(-1)
        before = twist
        twist, score, pull = _twisted(model, many, x, low)
        log_weight = log_weight + transition + twist - before
    last = levels[-1]
    points, evidence = many.draw(x + last**2 * score, _step_sd(last))
    log_weight = log_weight + evidence - twist
    shape = (queries, ISLANDS * own)
    island = torch.arange(ISLANDS, device=levels.device)
    family = family.reshape(queries, ISLANDS, own) + own * island[:, None]
    dead = torch.isnan(log_weight)
    return Particles(
        points.reshape(*shape, width),
        torch.where(dead, -math.inf, log_weight).reshape(shape),
        island.repeat_interleave(own),
        family.reshape(shape),
    )


def log_evidence(model: Diffuses, queries: QueryBatch, count: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(evidence) in data units under the discretised diffusion, and its standard error, `[Q]` each."""
    regions = Regions.of(model.encoder, queries)
    found = [particles(model, regions.take(part), count) for part in _parts(len(queries), count, regions)]
    value = torch.cat([f.log_evidence for f in found]) + regions.log_jacobian
    return value.cpu().numpy(), torch.cat([f.error for f in found]).cpu().numpy()


class Twisted:
    """Twisted sequential Monte Carlo of a diffusion.

    Particles are `ISLANDS` independent runs. The computation counts as failed where their evidences disagree by
    more than half a nat, or too few particles of the start have descendants.
    """

    name = "twisted-smc"

    def offer(self, joint: Joint, queries: QueryBatch) -> list[Offer | Refusal]:
        if not isinstance(joint.model, Diffuses):
            return [Refusal("the model is no diffusion", lacking=True)] * len(queries)
        reason = "the model knows the score of its law at every level of noise"
        return [Offer("consistent", LAW, "particles", float(PARTICLES), reason)] * len(queries)

    def answer(self, joint: Joint, queries: QueryBatch, draws: int, budget: int | None) -> Answers:
        model = joint.model
        assert isinstance(model, Diffuses)
        count = -(-max(budget or PARTICLES, 4 * ISLANDS) // ISLANDS) * ISLANDS
        regions = Regions.of(model.encoder, queries)
        found = [_answer(model, queries, regions, part, draws, count) for part in _parts(len(queries), count, regions)]

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(f, name) for f in found])

        return Answers(
            values=joined("values"),
            marginals={n: join_marginals([f.marginals[n] for f in found]) for n in queries.targets},
            log_evidence=joined("log_evidence"),
            log_evidence_se=joined("log_evidence_se"),
            ess=joined("ess"),
            khat=joined("khat"),
            rhat=joined("rhat"),
            failures=[why for f in found for why in f.failures],
        )


def _answer(model: Diffuses, queries: QueryBatch, regions: Regions, part: Tensor, draws: int, count: int) -> Answers:
    regions, queries = regions.take(part), queries.take(part.cpu().numpy())
    found = particles(model, regions, count)
    possible = torch.isfinite(found.log_evidence)
    weight = torch.softmax(torch.where(possible[:, None], found.log_weight, 0.0), 1)

    def drawn(number: int) -> np.ndarray:
        index = torch.multinomial(weight, number, replacement=True)
        return regions.decode(found.points.gather(1, index[..., None].expand(-1, -1, found.points.shape[-1])))

    ess, error = found.ess.cpu().numpy(), found.error.cpu().numpy()
    blank = np.full(len(queries), np.nan)
    failures = []
    for q in range(len(queries)):
        if not possible[q]:
            failures.append(f"no particle of {count} met the evidence; it may have probability zero under the joint")
        elif error[q] > _MOST_ERROR:
            failures.append(f"{ISLANDS} runs disagree on the log-evidence: standard error {error[q]:.2f} nats")
        elif ess[q] < min(_LEAST_ESS, count / 4):
            failures.append(f"{ess[q]:.0f} of {count} particles have descendants; at least {_LEAST_ESS:.0f} are needed")
        else:
            failures.append("")
    return Answers(
        values=drawn(draws)[:, None],
        marginals=marginals(queries.schema, drawn(count), queries.targets),
        log_evidence=(found.log_evidence + regions.log_jacobian).cpu().numpy(),
        log_evidence_se=error,
        ess=ess,
        khat=blank,
        rhat=blank,
        failures=failures,
    )


def _parts(queries: int, count: int, regions: Regions) -> list[Tensor]:
    size = max(1, _ROWS // count)
    return list(torch.arange(queries, device=regions.point.device).split(size))


def _step_sd(high: Tensor, low: Tensor | float = 0.0) -> Tensor:
    """Standard deviation of what `low` noise left of a unit normal, given what `high` noise left of it."""
    return ((1 + low**2) * (high**2 - low**2) / (1 + high**2)).sqrt()


def _twisted(model: Diffuses, regions: Regions, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(evidence | x denoised) `[R, J]`, the score and the gradient of the former, `[R, J, D]` each."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        flat = at.reshape(-1, at.shape[-1])
        score = model.score(flat, noise.to(flat.dtype).expand(len(flat))).double().reshape(at.shape)
        twist = regions.log_mass(at + noise**2 * score, _step_sd(noise))
        twist = torch.where(torch.isfinite(twist), twist, 0.0 * at.sum(-1) - 1e30)
        (pull,) = torch.autograd.grad(twist.sum(), at)
    return twist.detach(), score.detach(), pull.nan_to_num(0.0, 0.0, 0.0)


def _resampled(log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Who goes on, and with what weight: systematic resampling of the rows whose effective sample size is poor."""
    rows, own = log_weight.shape
    total = torch.logsumexp(log_weight, 1, keepdim=True)
    alive = torch.isfinite(total)
    share = torch.exp(log_weight - torch.where(alive, total, 0.0)).nan_to_num()
    poor = (1 / share.square().sum(1, keepdim=True).clamp(min=1e-300) < _RESAMPLE * own) & alive
    u = (torch.arange(own, device=share.device) + torch.rand(rows, 1, dtype=share.dtype, device=share.device)) / own
    sums = (share.cumsum(1) / share.sum(1, keepdim=True).clamp(min=1e-300)).contiguous()
    index = torch.searchsorted(sums, u.contiguous(), right=True).clamp(max=own - 1)
    stay = torch.arange(own, device=share.device).expand(rows, own)
    return torch.where(poor, index, stay), torch.where(poor, total - math.log(own), log_weight)
