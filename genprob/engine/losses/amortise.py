"""Teaching a guide to serve any mask."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.engine.losses.weights import log_guide
from genprob.model import Model


def matching(model: Model, batch: Batch, latents: dict[str, Tensor]) -> Tensor:
    """Minus log q(latents | part of the row), a mean over rows in nats.

    The latents are drawn given all that is known of the row; lowering it fits the guide under each mask to the
    posterior averaged over what the mask hides (Strauss and Oliva 2022, Posterior matching for arbitrary
    conditioning). Nothing but the guide has a gradient.
    """
    fixed = {name: z.detach() for name, z in latents.items()}
    return -log_guide(model, replace(batch, observed=batch.observed & masks(batch)), fixed).mean()


def masks(batch: Batch) -> Tensor:
    """What is left visible, `[rows, width]`: a share uniform in [0, 1] of each row's cells, or of its variables."""
    n, device, schema = len(batch), batch.observed.device, batch.schema
    order = {name: i for i, name in enumerate(schema.names)}
    owner = torch.as_tensor([order[v.name] for v in schema.columns], device=device)
    level = torch.rand(n, 1, device=device)
    cells = torch.rand(n, schema.width, device=device)
    if len(schema) == schema.width:
        return cells < level
    whole = torch.rand(n, len(schema), device=device)[:, owner]
    return torch.where(torch.rand(n, 1, device=device) < 0.5, cells, whole) < level
