"""The model: what a plugin subclasses. A Pyro model/guide pair, or modules that declare capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import pyro
import torch
from pyro.nn import PyroModule
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.schema import Schema
from genprob.errors import PluginError
from genprob.nets.heads import Heads

EMISSION = "_emission"
"""The site of a trace that holds what `Model.emit` was given."""
LIKELIHOOD = "_likelihood"
"""The site of a trace that holds the log-likelihood of all variables, where they are emitted at once."""


class Model(PyroModule):
    """A joint density over the variables of a schema.

    A subclass takes the schema first and its options as keyword-only parameters: the signature is the
    configuration. `model` is the joint density as a Pyro program, `guide` samples what the model cannot. A program
    that ends in `emit` is sampled, scored and queried by importance sampling through its guide
    (`genprob.query.programs`). What a model can do beyond that it says by having the methods of
    `genprob.query.capabilities` and `genprob.engine.capabilities`; nothing asks for its class.

    Attributes:
        inferences: names of inferences that can train it, the first is the default, where the class itself is given
            to `genprob.fit`; a plugin states them in its `ModelSpec`.
        law: what its probabilities are of: `joint`, or a word for another law, such as `order-mixture`.
        precision: dtype in which batches reach the model.
        schema: the modelled variables.
        heads: the likelihoods by support, once `emission_width` or `feature_width` was read; None before.
    """

    inferences: ClassVar[tuple[str, ...]] = ("elbo",)
    heads: Heads | None
    law: str = "joint"
    precision: torch.dtype = torch.float32

    def __init__(self, schema: Schema) -> None:
        # A module made without this setting can't be called where it stands, as it does while genprob runs a model.
        with pyro.settings.context(module_local_params=True):
            super().__init__()
        self.schema = schema
        self.heads = None
        self._sites: Literal["each", "one", "none"] = "each"

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Sets what depends on the training rows (encoders, starting values) before the first step; returns notes.

        By default the heads are fitted to their marginals.
        """
        if self.heads is not None:
            self.heads.fit(batch)
        return []

    def conclude(self, batch: Batch, *, seed: int) -> None:
        """Sets what depends on the fitted parameters (a partition function) after the last step.

        Nothing that it sets may change how a fit goes on that is resumed with more steps. What is to be told of it,
        `remarks` tells.
        """

    def remarks(self, batch: Batch) -> list[str]:
        """What the fitted model has to say of itself, seen on some training rows; joins the joint's notes.

        Asked after the last step and whenever the run is loaded; whatever it costs, every load pays.
        """
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

    # --- a program's variables

    @property
    def emission_width(self) -> int:
        """How many numbers a row `emit` takes: what a decoder has to give."""
        return self._emission().width

    @property
    def feature_width(self) -> int:
        """How many numbers a row `features` gives."""
        return self._emission("feature_width").feature_width

    def emit(self, parameters: Tensor, batch: Batch) -> None:
        """One observed site per variable, named like it, given `parameters [rows, emission_width]`.

        The likelihood follows support and measure (`genprob.nets.heads.Heads`); zeros stand for the marginal laws
        of the training rows. Holes are masked out. Raises `PluginError` where a latent bears a variable's name, and
        where `__init__` read neither width.
        """
        heads = self.heads
        if heads is None:
            raise self._late("emit")
        pyro.deterministic(EMISSION, parameters, event_dim=1)
        if self._sites == "one":
            pyro.factor(LIKELIHOOD, heads.log_likelihood(parameters, batch))
        if self._sites != "each":
            return
        for name, law in heads.laws(parameters).items():
            mask, dims = batch.mask(name), len(self.schema[name].shape)
            try:
                pyro.sample(name, law.mask(mask).to_event(dims), obs=heads.filled(batch, name, parameters.dtype))
            except RuntimeError as error:
                if f"Multiple sample sites named {name!r}" not in str(error):
                    raise
                raise namesake(self, name) from error

    @contextmanager
    def emitting(self, sites: Literal["one", "none"]) -> Iterator[None]:
        """Within, `emit` makes one site with the log-likelihood of all variables, or none; quicker than one each."""
        before, self._sites = self._sites, sites
        try:
            yield
        finally:
            self._sites = before

    def features(self, batch: Batch) -> Tensor:
        """Known cells as a network likes them, `[rows, feature_width]`: standardised, holes zero and flagged."""
        return self._emission("features").features(batch)

    def _emission(self, what: str = "emission_width") -> Heads:
        if self.heads is None:
            if am_i_wrapped():
                raise self._late(what)
            self.heads = Heads(self.schema)
        return self.heads

    def _late(self, what: str) -> PluginError:
        """The complaint about likelihoods that no checkpoint would know, since `__init__` did not make them."""
        return PluginError(
            f"{type(self).__name__}: {what} is used in a program, but __init__ read neither emission_width nor "
            "feature_width; read there how wide the decoder has to be, e.g. nn.Linear(4, self.emission_width)"
        )


def namesake(model: Model, name: str) -> PluginError:
    """The complaint about a latent that bears a variable's name."""
    return PluginError(
        f"{type(model).__name__}: a latent site is named {name!r}, like a variable of the data; sites and variables "
        "share their names, so call it something else (an underscore in front will do)"
    )
