"""What an inference asks of a model: small protocols, tested by `isinstance`, never by class name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.engine.transition import Kernel
from genprob.errors import UsageError


def require(model: object, capability: Any, inference: str, what: str) -> None:
    """`UsageError` naming what an inference needs and which methods the model lacks, unless it has the capability."""
    if isinstance(model, capability):
        return
    parts = [part for part in capability.__mro__ if part.__module__ == __name__]
    named = {name for part in parts for name in (*vars(part), *inspect.get_annotations(part))}
    lacks = [name for name in named if not name.startswith("_") and not hasattr(model, name)]
    raise UsageError(
        f"inference {inference!r} needs {what}, which {type(model).__name__} has not "
        f"({capability.__name__} lacks {', '.join(sorted(lacks))})"
    )


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


@runtime_checkable
class Validates(Protocol):
    """A model with a better measure of how well it predicts held-out rows than its quick `score_rows`."""

    def validate(self, batch: Batch) -> Tensor:
        """The measure of each row, `[rows]`, the greater the better; the same for the same parameters and rows."""
        ...


@runtime_checkable
class Recommends(Protocol):
    """A model that knows which options of an inference suit it; a caller's own come first.

    Attributes:
        recipe: inference name -> option -> value, once the model is prepared.
    """

    @property
    def recipe(self) -> Mapping[str, Mapping[str, Any]]: ...


@runtime_checkable
class LogDensity(Protocol):
    """A model that can be differentiated through its log-density."""

    def log_density(self, batch: Batch) -> Tensor:
        """log p(known cells) of each row in nats, up to a constant of the data, `[rows]`."""
        ...


@runtime_checkable
class Points(Protocol):
    """A model that lives in a space of its own, such as encoded coordinates."""

    def points(self, batch: Batch) -> Tensor:
        """The rows as points of that space, `[rows, *event]`."""
        ...


@runtime_checkable
class Energy(Points, Protocol):
    """A density known up to its normaliser: p(x) is proportional to exp(-energy(x))."""

    def energy(self, points: Tensor) -> Tensor:
        """Nats, `[n, *event] -> [n]`; differentiable in the parameters, and in the points unless it has a kernel."""
        ...


@runtime_checkable
class MarkovKernel(Protocol):
    """An energy with a Markov kernel of its own, such as Gibbs sampling of binary units."""

    def markov_kernel(self) -> Kernel:
        """A kernel on points that leaves exp(-energy) invariant under the present parameters."""
        ...


@runtime_checkable
class Lifts(Energy, Protocol):
    """An energy whose chains can carry what their last move found out, so that a loss need not find it again.

    Attributes:
        lifts: whether they do, for the variables at hand.
    """

    @property
    def lifts(self) -> bool: ...

    def lift(self, points: Tensor) -> Tensor:
        """Points with what is known of them beside them, `[n, *event] -> [n, width]`; without a gradient."""
        ...

    def lifted_kernel(self) -> Kernel:
        """A kernel on lifted points that leaves exp(-energy) invariant under the present parameters."""
        ...

    def lifted_energy(self, lifted: Tensor) -> Tensor:
        """Their energy up to a constant that all points share, `[n]`; differentiable in the parameters."""
        ...


@runtime_checkable
class Tempers(Energy, Protocol):
    """An energy whose own kernel can exchange places with copies at higher temperatures."""

    def tempered_kernel(self, temperatures: int) -> Kernel:
        """A kernel on points that leaves exp(-energy) invariant, with copies at `temperatures - 1` hotter laws."""
        ...


@runtime_checkable
class Fills(Energy, Protocol):
    """An energy whose rows may have holes, which chains fill while it learns.

    Attributes:
        incomplete: whether the rows it learns from leave anything open (holes, rounding cells); set by `prepare`.
    """

    incomplete: bool

    def guesses(self, count: int) -> Tensor:
        """Points `[count, *event]` at which such chains begin."""
        ...

    def completing_kernel(self, batch: Batch) -> Kernel:
        """A kernel on points of the batch's rows that leaves exp(-energy) given their known cells invariant."""
        ...


@runtime_checkable
class Centred(Energy, Protocol):
    """An energy whose parameters are offsets from the units' mean activity, which moves while it learns."""

    def recentre(self, points: Tensor) -> dict[str, Tensor]:
        """New values of parameters and buffers, the law unchanged, from points of the data."""
        ...

    def uncentre(self) -> dict[str, Tensor]:
        """The same with all offsets 0, which is the plain parametrisation."""
        ...


@runtime_checkable
class PseudoLikelihood(Energy, Protocol):
    """An energy that knows the law of each variable given all others."""

    def log_pseudo_likelihood(self, points: Tensor) -> Tensor:
        """The sum over variables of log p(variable | all others) of whole points, `[n]`, differentiable."""
        ...


@runtime_checkable
class NoiseContrast(Energy, Protocol):
    """An energy with noise of known density beside it, that covers its data."""

    def draw_noise(self, count: int) -> Tensor:
        """Points of the noise, `[count, *event]`."""
        ...

    def log_noise(self, points: Tensor) -> Tensor:
        """Its log-density, `[n, *event] -> [n]`."""
        ...


@runtime_checkable
class Game(Points, Protocol):
    """A sampler without a density, taught by a critic that tells its points from data.

    Attributes:
        critic: what the first player moves.
        generator: what the second player moves.
    """

    critic: nn.Module
    generator: nn.Module

    def generate(self, count: int) -> Tensor:
        """As many points, drawn by the generator, as `points` makes of `count` rows; differentiable in its parameters.

        The critic may be shown packs of several rows: both methods then return one point for each pack.
        """
        ...

    def judge(self, points: Tensor) -> Tensor:
        """The critic's score, higher for data, `[n, *event] -> [n]`; differentiable in the points too."""
        ...


@runtime_checkable
class Infers(Game, Protocol):
    """A game over pairs of a point and its cause: `points` draws the cause by the encoder, and so both sides move.

    Attributes:
        encoder: what draws causes; the second player moves it together with the generator.
        inferring: the law of the causes given a row.
    """

    encoder: nn.Module

    def inferring(self, batch: Batch) -> Tensor:
        """Causes drawn given rows, `[rows, latent]`, differentiable in the encoder's parameters."""
        ...


@runtime_checkable
class Averages(Game, Protocol):
    """A game whose generator is kept in a moving average too.

    Attributes:
        average: a module like the generator, which no player moves.
    """

    average: nn.Module


@runtime_checkable
class Observes(Protocol):
    """A generator seen through noise: a latent program with an encoder as its guide and noise in its heads.

    Attributes:
        encoder: the guide's network.
        law: name of the law that the noise makes of the generator.
    """

    encoder: nn.Module
    law: str

    def model(self, batch: Batch) -> Any:
        """The program; see `genprob.model.Model`."""
        ...

    def guide(self, batch: Batch) -> Any:
        """The guide; see `genprob.model.Model`."""
        ...

    def generate(self, count: int) -> Tensor:
        """Points of the generator without noise; see `Game`."""
        ...


@runtime_checkable
class Score(Points, Protocol):
    """A model of the gradient of log-densities smoothed by Gaussian noise."""

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        """The gradient at `[n, *event]` of the log-density smoothed with standard deviations `noise [n]`."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """A Markov chain over rows that corrupts them and draws them anew, and is taught to lead back."""

    def begun(self, batch: Batch) -> Tensor:
        """Where walks from rows begin, `[rows, width]`: complete rows."""
        ...

    def walked(self, values: Tensor) -> Tensor:
        """One transition of `[rows, width]`, without a gradient."""
        ...

    def reconstruction(self, walked: Tensor, batch: Batch) -> Tensor:
        """-log p(known cells of the row | the walk, corrupted) in nats, `[rows]`; differentiable in the parameters."""
        ...


@runtime_checkable
class Noises(Protocol):
    """A model that is made for a range of noises.

    Attributes:
        noises: the smallest and the largest standard deviation, in the units of its points.
    """

    noises: tuple[float, float]


@runtime_checkable
class Posterior(Protocol):
    """A model whose unknowns have a posterior given all rows, to be sampled rather than maximised."""

    def positions(self, chains: int) -> Tensor:
        """Where chains start, `[chains, *event]`, overdispersed, from torch's present random numbers."""
        ...

    def log_posterior(self, positions: Tensor, batch: Batch) -> Tensor:
        """log p(unknowns, rows) of each chain up to a constant, `[chains]`; differentiable in the positions."""
        ...


@runtime_checkable
class NamesUnknowns(Protocol):
    """A posterior whose positions are made of unknowns that have names and scales of their own."""

    def unknowns(self, positions: Tensor) -> dict[str, Tensor]:
        """The unknowns at `[n, *event]`, each `[n, *its own event]` in the units of the model."""
        ...


@runtime_checkable
class Auxiliary(Protocol):
    """A model that training lowers something of besides the bound, such as a classifier's loss."""

    def auxiliary(self, batch: Batch) -> Tensor:
        """Nats, `[rows]`; no part of the density."""
        ...
