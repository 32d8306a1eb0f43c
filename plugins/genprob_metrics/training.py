"""The training rows, which some metrics compare with."""

from __future__ import annotations

from typing import Any

from genprob.errors import UsageError


def training_rows(train: Any) -> Any:
    """The option `train`; `UsageError` where it was not given."""
    if train is None:
        raise UsageError("needs the rows that the joint was fitted to: train=DATA (--train DATA on the command line)")
    return train
