"""Models with a partition function: what is settled after the fit, and kept with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.metrics.partition import Partition
from genprob.model import Model
from genprob_energy.stored import Stored


class Partitioned(Model):
    """A density known up to its partition function, which is estimated once and travels with the run.

    A subclass says how: `estimate_partition`, which also leaves draws of the joint in `stored`.
    """

    stored: Stored
    incomplete: bool

    def structure(self) -> dict[str, Any]:
        return {"incomplete": self.incomplete}

    def build(self, structure: dict[str, Any]) -> None:
        self.incomplete = structure["incomplete"]

    def estimate_partition(self) -> Partition:
        """The log-partition function, from torch's present random numbers."""
        raise NotImplementedError

    def score_seen(self, batch: Batch, observed: Tensor) -> Tensor:
        """A quick log p of the cells `observed` of rows, `[rows]`."""
        raise NotImplementedError

    def conclude(self, batch: Batch, *, seed: int) -> None:
        """Estimates the partition function, and keeps it with draws of the joint."""
        with torch.no_grad():
            self.stored.keep(self.estimate_partition())

    def remarks(self, batch: Batch) -> list[str]:
        """The partition function, where a fit was finished."""
        return [str(self.stored.partition())] if self.stored.known else []

    def partition(self) -> Partition:
        """The log-partition function, estimated now if no fit was finished; nats, relative to the energy."""
        if not self.stored.known:
            place = self.stored.numbers
            with torch.random.fork_rng(devices=[place.device.index or 0] if place.is_cuda else []), torch.no_grad():
                torch.manual_seed(0)
                self.stored.keep(self.estimate_partition())
        return self.stored.partition()

    def doubt(self) -> str:
        """Why log Z is not to be trusted, and what to do; empty where it is."""
        found = self.partition()
        return f"log Z is unreliable: {found.reason}; fit with more temperatures= or chains=" if found.reason else ""

    @torch.no_grad()
    def score_rows(self, batch: Batch) -> Tensor:
        return self.score_seen(batch, batch.observed)

    @torch.no_grad()
    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        return torch.stack([self.score_seen(batch, batch.observed & mask) for mask in masks])


class Unnormalised(Partitioned):
    """A partitioned model whose density of whole rows has a closed form up to log Z: a `JointDensity`."""

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows `[..., width]` in data units, up to log Z."""
        raise NotImplementedError

    @property
    def log_partition(self) -> float:
        """In nats, relative to `log_joint`."""
        return self.partition().value

    @property
    def log_partition_se(self) -> float:
        """Its standard error."""
        return self.partition().error
