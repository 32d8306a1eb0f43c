"""Teaching a guide on the model's own dreams, and the bound on rows that a standing guide gives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Loss
from genprob.engine.losses.amortise import masks
from genprob.engine.losses.weights import log_guide, weights
from genprob.model import Model


def sleep(model: Model) -> Loss:
    """Minus log q(latents | part of the row), latents and row drawn from the model, in nats per row.

    Lowering it fits the guide to the model's posteriors under every mask (Hinton, Dayan, Frey and Neal 1995, The
    wake-sleep algorithm; Le, Baydin and Wood 2017, Inference compilation).
    """

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        with torch.no_grad():
            program: Any = poutine.trace(poutine.uncondition(model.model)).get_trace(batch)
            guide: Any = poutine.trace(model.guide).get_trace(batch)
        names = [name for name in guide.stochastic_nodes if not site_is_subsample(guide.nodes[name])]
        latents = {name: program.nodes[name]["value"] for name in names}
        drawn = [program.nodes[name]["value"].reshape(len(batch), -1) for name in batch.schema.names]
        values = torch.cat([part.to(batch.values.dtype) for part in drawn], 1)
        dreamt = replace(batch, values=values, observed=torch.ones_like(batch.observed))
        return -log_guide(model, replace(dreamt, observed=masks(dreamt)), latents).mean()

    return loss


def bound(model: Model, copies: int) -> Loss:
    """Minus the importance-weighted bound of the rows under a guide that stands still, in nats per row."""

    def loss(blocks: Blocks, batch: Batch | None) -> Tensor:
        assert batch is not None
        log_weight = weights(model, batch, copies, stopped=True).log_weight
        return -(torch.logsumexp(log_weight, 1) - math.log(copies)).mean()

    return loss
