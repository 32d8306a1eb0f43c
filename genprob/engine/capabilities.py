"""What an inference asks of a model: small protocols, tested by `isinstance`, never by class name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from genprob.data.batch import Batch


@runtime_checkable
class ExpectationMaximisation(Protocol):
    """A model with a closed-form E- and M-step on sufficient statistics."""

    def expectation(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Expected sufficient statistics of all rows under the present parameters, and metrics.

        The metrics hold `log_likelihood` and `objective` (what EM raises: the log-likelihood plus the log prior of
        the parameters), both means over rows in nats.
        """
        ...

    def maximisation(self, statistics: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Parameters (by name) that maximise the expected complete log-likelihood plus the log prior.

        `batch` is the one that the statistics were taken over.
        """
        ...


@runtime_checkable
class HeldOutScore(Protocol):
    """A model that can say quickly how well it predicts rows, for early stopping."""

    def score_rows(self, batch: Batch) -> Tensor:
        """Log-density of each row's known cells up to a constant of the data, `[rows]`."""
        ...
