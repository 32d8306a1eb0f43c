"""Tables of reals as points: encoded coordinates, rounded reals spread over their cells, holes as NaN."""

from __future__ import annotations

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.errors import UsageError
from genprob.nets.dequantise import dequantised


def only_reals(schema: Schema, model: str) -> None:
    """`UsageError` naming the first variable to which no Gaussian noise can be added."""
    for variable in schema:
        if variable.discrete:
            raise UsageError(
                f"{model} adds Gaussian noise to real variables, and {variable.name!r} is {variable.support.text()}; "
                "use gsn, wgan, vae, anyorder or mixture, or leave it out (role ignored)"
            )


def encoded(encoder: Encoder, batch: Batch) -> Tensor:
    """Rows in encoded coordinates, `[rows, width]` in torch's default dtype, NaN at holes."""
    with torch.no_grad():
        values, _ = dequantised(encoder, encoder.inside(batch.values.double()))
        points = torch.where(batch.observed, encoder.encode(values), torch.nan)
    return points.to(torch.get_default_dtype())
