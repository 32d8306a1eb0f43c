"""Tables of reals as points: encoded coordinates, rounded reals spread over their cells, holes as NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
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


def noised(
    encoder: Encoder, points: Tensor, sigma: float, score: Callable[[Tensor, Tensor], Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Encoded points seen with noise, and what Tweedie's formula makes of them, as rows in data units; holes NaN."""
    noisy = points + sigma * torch.randn_like(points)
    clean = noisy + sigma**2 * score(noisy, torch.full((len(points),), sigma, device=points.device))
    seen, made = (encoder.decode(torch.nan_to_num(x).detach().double()) for x in (noisy, clean))
    holes = torch.isnan(points)
    return tuple(torch.where(holes, torch.nan, x).cpu().numpy() for x in (seen, made))  # pyright: ignore
