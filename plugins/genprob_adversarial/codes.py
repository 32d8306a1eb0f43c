"""What a generator makes of the codes of rows: reconstructions, and the way from one row to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from genprob.data.batch import as_batch
from genprob.data.table import Table
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.query.emission import means
from genprob_adversarial.gan import GAN


def reconstruct(joint: Joint, data: Any) -> xr.Dataset:
    """Rows as the generator makes them from the mean code that the encoder has for them, holes filled, in data units.

    Numbers are means without noise, labels the likeliest. Of `ali` the encoder is the game's own; of the others it is
    the guide, which is taught on draws when the game is over. Raises `UsageError` for a joint that is no generator.
    """
    model = _generator(joint)
    return _rows(joint, model, _codes(joint, model, data))


def interpolate(joint: Joint, data: Any, *, steps: int = 9) -> xr.Dataset:
    """`steps` rows from the first to the second row of `data`, on the straight line between their codes."""
    model, table = _generator(joint), joint.table(data)
    if len(table) != 2 or steps < 2:
        raise UsageError(f"interpolate needs two rows and at least two steps, not {len(table)} and {steps}")
    first, second = _codes(joint, model, data)
    share = torch.linspace(0, 1, steps, device=first.device)[:, None]
    return _rows(joint, model, (1 - share) * first + share * second)


@torch.no_grad()
def _codes(joint: Joint, model: GAN, data: Any) -> Tensor:
    batch = as_batch(joint.table(data), device=joint.reference.values.device, dtype=model.precision)
    return model.posterior(batch)[0]


@torch.no_grad()
def _rows(joint: Joint, model: GAN, codes: Tensor) -> xr.Dataset:
    heads = model._emission()
    values = means(heads, heads.shifted(model.average(codes).double())).cpu().numpy()
    whole = np.array([v.discrete for v in joint.schema.columns])
    return Table(joint.schema, np.where(whole, np.rint(values), values)).to_dataset()


def _generator(joint: Joint) -> GAN:
    if not isinstance(joint.model, GAN):
        raise UsageError(f"{type(joint.model).__name__} has no generator; fit a gan, wgan, dcgan or ali")
    return joint.model
