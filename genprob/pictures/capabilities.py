"""What a picture asks of a model: small protocols, tested by `isinstance`, never by class name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder


@runtime_checkable
class Restores(Protocol):
    """A model that sees rows, through noise or through a code, and makes them again."""

    def restored(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """What it was shown of rows and the means of what it makes of that, `[rows, width]` each, in data units.

        NaN where nothing was shown; a binary's mean is its probability, of a label the likeliest code counts.
        """
        ...


@runtime_checkable
class Denoises(Protocol):
    """A model of real variables that knows the score of its law seen with Gaussian noise.

    Attributes:
        encoder: from data units to the coordinates in which the noise is added.
        noises: the least and the most standard deviation of the noise.
    """

    encoder: Encoder
    noises: tuple[float, float]

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        """The gradient at `[n, width]` of the log-density smoothed with `noise [n]`."""
        ...
