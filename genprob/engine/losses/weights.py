"""Importance weights of latents that a guide draws, row by row: what bounds on the evidence are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from genprob.data.batch import Batch
from genprob.errors import PluginError
from genprob.model import Model, namesake


@dataclass(frozen=True)
class Weights:
    """Latents drawn by the guide and how the model and the guide see them.

    Attributes:
        likelihood: log p(known cells | latents), `[rows, copies]`.
        divergence: log q(latents | row) - log p(latents), `[rows, copies]`, or its mean over q where that is known.
        latents: site -> `[rows * copies, ...]`, with the guide's gradient.
    """

    likelihood: Tensor
    divergence: Tensor
    latents: dict[str, Tensor]

    @property
    def log_weight(self) -> Tensor:
        """log p(known cells, latents) - log q(latents | row), `[rows, copies]`."""
        return self.likelihood - self.divergence


def rowwise(model: Model, batch: Batch) -> bool:
    """True if every latent is drawn by the guide, row by row, from a law whose draws have gradients.

    Raises `PluginError` for a latent that the guide ignores (whatever is drawn for it would not be accounted for),
    and for one that bears a variable's name.
    """
    devices = [batch.values.device] if batch.values.is_cuda else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):  # looking costs no random number
        guide, program = _traces(model, batch)
    latents = set(_sites(guide, observed=False))
    for name in sorted(latents & set(model.schema.names)):
        raise namesake(model, name)
    for name in _sites(program, observed=False):
        if name not in latents and not program.nodes[name]["infer"].get("enumerate"):
            raise PluginError(
                f"{type(model).__name__}: the guide never draws {name!r}, a latent of the model; sample it there, or "
                "mark it for enumeration"
            )
    if not latents or latents != set(_sites(program, observed=False)):
        return False
    sites: list[Any] = [trace.nodes[name] for trace in (guide, program) for name in latents]
    if not all(guide.nodes[name]["fn"].has_rsample for name in latents):
        return False
    return all(tuple(site["fn"].batch_shape) == (len(batch),) or not site["fn"].batch_shape for site in sites) and all(
        guide.nodes[name]["value"].shape[:1] == (len(batch),) for name in latents
    )


def weights(model: Model, batch: Batch, copies: int = 1, *, analytic: bool = False, stopped: bool = False) -> Weights:
    """`copies` draws of the guide for every row, weighed. The program must be `rowwise`.

    Arguments:
        analytic: take KL(q || p) itself where both are normal, in place of a draw's part of it.
        stopped: hold the guide's parameters still in log q, so that its gradient comes through the draws alone
            (Roeder, Wu and Duvenaud 2017, Sticking the landing).
    """
    many = batch.repeat(copies)
    guide, program = _traces(model, many)
    names = list(_sites(guide, observed=False))
    latents = {name: guide.nodes[name]["value"] for name in names}
    proposal: Any = guide
    if stopped:
        with torch.no_grad():
            fixed = {name: z.detach() for name, z in latents.items()}
            proposal = poutine.trace(poutine.condition(model.guide, data=fixed)).get_trace(many)
    rows, shape = len(many), (len(batch), copies)
    likelihood = divergence = torch.zeros(())
    for name in names:
        q, p, z = proposal.nodes[name]["fn"], program.nodes[name]["fn"], latents[name]
        known = analytic and _normal(q) and _normal(p)
        divergence = divergence + (kl_divergence(q, p) if known else q.log_prob(z) - p.log_prob(z))
    for name in _sites(program, observed=True):
        likelihood = likelihood + _log_prob(program.nodes[name])
    return Weights(likelihood.expand(rows).reshape(shape), divergence.expand(rows).reshape(shape), latents)


def guided(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Latents drawn by the guide, site -> `[rows, ...]`, without gradients."""
    with torch.no_grad():
        trace: Any = poutine.trace(model.guide).get_trace(batch)
    return {name: trace.nodes[name]["value"] for name in _sites(trace, observed=False)}


def log_guide(model: Model, batch: Batch, latents: dict[str, Tensor]) -> Tensor:
    """log q(latents | row), `[rows]`."""
    guide: Any = poutine.trace(poutine.condition(model.guide, data=latents)).get_trace(batch)
    return torch.stack([guide.nodes[name]["fn"].log_prob(z) for name, z in latents.items()]).sum(0)


def _traces(model: Model, batch: Batch) -> tuple[Any, Any]:
    guide = poutine.trace(model.guide).get_trace(batch)
    with model.emitting("one"):
        return guide, poutine.trace(poutine.replay(model.model, trace=guide)).get_trace(batch)


def _sites(trace: Any, *, observed: bool) -> list[str]:
    return [
        name
        for name, site in trace.nodes.items()
        if site["type"] == "sample"
        and site["is_observed"] == observed
        and not site_is_subsample(site)
        and not site["infer"].get("_deterministic", False)
    ]


def _log_prob(site: Any) -> Tensor:
    """Of an observed site, `[rows]`, under the masks and scales that the program put on it but for the plate's."""
    out = site["fn"].log_prob(site["value"])
    if site["mask"] is not None:
        out = torch.where(torch.as_tensor(site["mask"], device=out.device), out, 0.0)
    plates = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    scale = site["scale"]
    for frame in plates:
        scale = scale * frame.size / max(1, frame.full_size or frame.size)
    return out if isinstance(scale, float | int) and scale == 1 else out * scale


def _normal(law: Any) -> bool:
    return isinstance(law, Independent) and isinstance(law.base_dist, Normal)
