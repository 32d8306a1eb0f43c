"""The model: what a plugin subclasses. A Pyro model/guide pair, or modules that declare capabilities."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro.nn import PyroModule

from genprob.data.batch import Batch
from genprob.data.schema import Schema


class Model(PyroModule):
    """A joint density over the variables of a schema.

    A subclass takes the schema first and its options as keyword-only parameters: the signature is the
    configuration. `model` is the joint density as a Pyro program, `guide` samples what the model cannot. What a
    model can do beyond that it says by having the methods of `genprob.query.capabilities` and
    `genprob.engine.capabilities`; nothing asks for its class.

    Attributes:
        precision: dtype in which batches reach the model.
        schema: the modelled variables.
    """

    precision: torch.dtype = torch.float32

    def __init__(self, schema: Schema) -> None:
        # A module made without this setting can't be called where it stands, as it does while genprob runs a model.
        with pyro.settings.context(module_local_params=True):
            super().__init__()
        self.schema = schema

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Sets what depends on the training rows (encoders, starting values) before the first step; returns notes."""
        return []

    def structure(self) -> dict[str, Any]:
        """What was decided by `prepare` and fixes the shapes of tensors, as JSON."""
        return {}

    def build(self, structure: dict[str, Any]) -> None:
        """Allocates tensors for a structure that a run was saved with."""

    def model(self, batch: Batch) -> Any:
        """The joint density, a Pyro program over one batch."""
        raise NotImplementedError(f"{type(self).__name__} is no Pyro program")

    def guide(self, batch: Batch) -> Any:
        """What the model cannot sample, a Pyro program over one batch."""
        raise NotImplementedError(f"{type(self).__name__} has no guide")
