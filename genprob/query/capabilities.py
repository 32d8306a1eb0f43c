"""What a strategy asks of a model: small protocols, tested by `isinstance`, never by class name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Variable
from genprob.engine.kernels.smc import Path
from genprob.engine.transition import Kernel
from genprob.query.batch import QueryBatch
from genprob.query.believed import Believed
from genprob.query.completion import Completion
from genprob.query.log_evidence import LogEvidence
from genprob.results.record import Marginal


class Cloud(Protocol):
    """Weighted conditionals, J to a query, each simple enough to be drawn from and averaged exactly.

    Attributes:
        log_weight: `[queries, J]`; their log-sum-exp is the log-evidence (a log density in data units for points,
            a log probability for sets) or an unbiased estimate of the evidence.
    """

    log_weight: Tensor

    def draw(self, index: Tensor) -> np.ndarray:
        """One row from each conditional named by `index [queries, draws]`: `[queries, draws, width]`, data units."""
        ...

    def marginals(self, targets: tuple[str, ...]) -> dict[str, Marginal]:
        """Each target's marginal, averaged over the weighted conditionals."""
        ...


@runtime_checkable
class Proposes(Protocol):
    """A model that proposes near any evidence, properly weighted."""

    def propose(self, queries: QueryBatch, particles: int) -> Cloud:
        """Conditionals sampled near the evidence, weighted so that the evidence is estimated without bias.

        Proposals cover the support of the conditional: at least a tenth of them ignore what is approximated.
        """
        ...


@runtime_checkable
class Conditions(Proposes, Protocol):
    """A model with exact conditionals for some evidence and properly weighted proposals for the rest."""

    def inexact(self, queries: QueryBatch) -> list[str]:
        """Why each query has no closed form; empty where it has."""
        ...

    def condition(self, queries: QueryBatch) -> Cloud:
        """The exact conditionals of queries that have a closed form."""
        ...


@runtime_checkable
class Declares(Protocol):
    """A model with variables of its own beside those of the data, which queries may name (`genprob.query.roles`)."""

    def declared(self) -> tuple[Variable, ...]:
        """They, with the role `latent` (each row has its own) or `parameter` (all rows share it)."""
        ...


@runtime_checkable
class Believes(Declares, Protocol):
    """A model whose parameters are known by draws given the rows it was fitted to.

    Attributes:
        believed: the draws, None before there are any.
        law: what its probabilities are of.
    """

    believed: Believed | None
    law: str

    def believe(self, believed: Believed, reference: Batch) -> None:
        """Takes over the draws of a fit, and some of its rows."""
        ...

    def unpredictable(self, queries: QueryBatch) -> list[str]:
        """Why each query has no answer by draws of the parameters; empty where it has."""
        ...

    def predict(self, queries: QueryBatch, index: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """For each query and each of the draws `index [J]` a row `[Q, J, width]` and log p(evidence | it), `[Q, J]`.

        A row has the parameters of its draw, what is given by points as it is given, and the rest drawn.
        """
        ...


class HeldChains(Protocol):
    """Markov chains of Q queries, each held to its evidence."""

    def start(self) -> Tensor:
        """Where they begin, `[Q, chains, *event]`: even ones at draws of the joint, odd ones at the guide's."""
        ...

    def kernel(self, warmup: int) -> Kernel:
        """A kernel on `[Q, chains, *event]` that leaves each query's conditional invariant once it has adapted."""
        ...

    def rows(self, points: Tensor) -> np.ndarray:
        """`[Q, chains, *event]` as rows in data units, `[Q, chains, width]`."""
        ...

    def log_evidence(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """log p(evidence) and its standard error, `[Q]` each; NaN where nothing tells.

        `seen [S, Q, chains, *event]` is where the chains have been, steps apart; not all need it.
        """
        ...


@runtime_checkable
class Clamps(Protocol):
    """A model whose Markov chains can be held to evidence."""

    def unclampable(self, queries: QueryBatch) -> list[str]:
        """Why the chains cannot be held to each query's evidence; empty where they can."""
        ...

    def clamp(self, queries: QueryBatch, chains: int) -> HeldChains:
        """Chains of each query, from torch's present random numbers."""
        ...


@runtime_checkable
class Walks(Protocol):
    """A model with a Markov chain of its own that leaves no known law invariant, and can be held to evidence."""

    law: str

    def unwalkable(self, queries: QueryBatch) -> list[str]:
        """Why the chain cannot be held to each query's evidence; empty where it can."""
        ...

    def walk(self, queries: QueryBatch, chains: int) -> HeldChains:
        """Chains of each query, from torch's present random numbers."""
        ...


@runtime_checkable
class Encodes(Declares, Protocol):
    """A model with one latent vector a row, declared as `site`, and a guide that encodes rows to it.

    Attributes:
        site: the latent's name among `declared`.
        latent: its size.
    """

    site: str
    latent: int
    precision: torch.dtype

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and standard deviations of the guide given the known cells, `[rows, latent]` each."""
        ...


@runtime_checkable
class Codes(Protocol):
    """A model with a representation of rows, such as the means of hidden units."""

    precision: torch.dtype

    def code(self, batch: Batch) -> Tensor:
        """The codes of complete rows, `[rows, size]`."""
        ...


@runtime_checkable
class Draws(Protocol):
    """A joint that can be sampled."""

    def draw(self, draws: int) -> np.ndarray:
        """Rows of the joint `[draws, width]` in data units, from torch's present random numbers."""
        ...


@runtime_checkable
class DrawsDirectly(Draws, Protocol):
    """A joint whose draws are independent and follow its law exactly, so that they answer what is asked given nothing.

    Attributes:
        direct: True where that is so.
    """

    direct: bool


@runtime_checkable
class Scores(Protocol):
    """A model with a likelihood of its own: exact, a bound, or an estimate that says so."""

    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        """log p(evidence) of each query, all else integrated out, with its errors; 0 where nothing is known."""
        ...


@runtime_checkable
class ScoresCells(Protocol):
    """A model that knows how likely each variable of a row is given the rest of the row.

    Exactly, but for the weights of an `Ensemble`'s members, which may rest on some orders of the row.
    """

    def log_conditionals(self, values: np.ndarray) -> np.ndarray:
        """log p(variable | the other known cells) of `[rows, width]`, data units: `[rows, variables]`, NaN at holes."""
        ...


@runtime_checkable
class Doubtful(Protocol):
    """A model that may have failed to settle what its log-probabilities and answers rest on."""

    def doubt(self) -> str:
        """Why its log-partition function or its draws are not to be trusted, and what to do; empty where they are."""
        ...


@runtime_checkable
class ScoresGiven(Scores, Protocol):
    """A model that scores conditionals directly, more precisely than as a difference of two log-evidences."""

    def log_conditional(self, queries: QueryBatch, given: np.ndarray) -> LogEvidence:
        """log p(the other points | the points where `given [width]`) of queries that know points only."""
        ...


@runtime_checkable
class ScoresRows(Protocol):
    """A quick log-density of the known cells of rows, for the support of evidence."""

    def score_rows(self, batch: Batch) -> Tensor:
        """`[rows]`, in data units, cells taken at their centres."""
        ...

    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        """The same with rows seen through each of `[masks, width]`, as `[masks, rows]`; holes may count as anything."""
        ...


@runtime_checkable
class JointDensity(Protocol):
    """A joint known by the log-density of complete rows, up to a constant.

    Attributes:
        log_partition: log of what exp(log_joint) sums and integrates to, in nats; 0 where it is normalised.
        log_partition_se: standard error of it; 0 where it is known. Conditionals do not need it, log-evidences do.
    """

    log_partition: float
    log_partition_se: float

    def log_joint(self, values: Tensor) -> Tensor:
        """`[..., width] -> [...]`, nats: a density in data units for true reals, a mass for the others.

        Values are float64 rows within the supports, category codes, cells at their table values. Where the result is
        differentiable in the values, gradients of the reals are made use of.
        """
        ...


@runtime_checkable
class Enumerates(Protocol):
    """A model whose latent causes take finitely many values."""

    def latent_states(self) -> int:
        """How many joint states the latents of a row have; 0 where they are not finitely many."""
        ...

    def enumerate(self, queries: QueryBatch) -> Cloud:
        """One conditional for each state of the latents, weighted by p(state) p(evidence | state)."""
        ...


@runtime_checkable
class Anneals(Protocol):
    """A model with latent causes whose prior can be drawn and that says how likely evidence is under each."""

    def unannealed(self) -> str:
        """Why there is no path for chains; empty where there is one."""
        ...

    def path(self, queries: QueryBatch) -> Path:
        """From the latents' prior to prior times p(evidence | latents), in coordinates without bounds."""
        ...

    def cloud(self, queries: QueryBatch, points: Tensor, log_weight: Tensor) -> Cloud:
        """What follows from latents at `points [queries, J, width]` of the path, weighted by `log_weight` alone."""
        ...


@runtime_checkable
class Guided(Anneals, Protocol):
    """A model whose guide points at latents near the evidence."""

    def guided(self, queries: QueryBatch, chains: int) -> Tensor:
        """Draws of the guide in the path's coordinates, `[queries, chains, width]`; unweighted."""
        ...


@runtime_checkable
class Completes(Protocol):
    """A model whose latents can be drawn given a complete row, and whose cells can be drawn given the latents."""

    def completion(self, queries: QueryBatch, chains: int) -> Completion:
        """Chains over the latents and the unknown cells of queries that know points only, begun at the prior."""
        ...


@dataclass(frozen=True, eq=False)
class Met:
    """Draws of one column that agree with the evidence on it.

    Attributes:
        log_mass: `[n]` log-evidence of the column: a log density or probability for points, a log probability for
            sets, the log of the expected likelihood for readings.
        values: `[n]` one draw each from the law times the likelihood of the evidence; given points as they are.
        log_weight: `[n]` what makes the draws proper where they were proposed; 0 where they are exact.
    """

    log_mass: Tensor
    values: Tensor
    log_weight: Tensor


class Law(Protocol):
    """One-dimensional laws of one column, one for each of n contexts; float64, data units."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Law:
        """The laws at these positions."""
        ...

    def log_prob(self, values: Tensor) -> Tensor:
        """`[n] -> [n]`, a density or a probability as the column's measure is."""
        ...

    def draw(self, index: Tensor | None = None) -> Tensor:
        """One draw of each of the laws at `index` (of every one if None); on cells the exact table value."""
        ...

    def meet(self, queries: QueryBatch) -> Met:
        """Each law under the evidence that its query (one a context) has on the column."""
        ...

    def marginal(self, queries: int, log_weight: Tensor | None = None) -> Marginal:
        """The average of each query's laws, its contexts standing one after the other, as many for each.

        Laws count alike and are taken for draws, whose average has a Monte-Carlo error; or in proportion to
        exp(`log_weight [n]`), and are then all there are.
        """
        ...


class Contexts(Protocol):
    """Partly known rows, each of which says what it expects of any other column."""

    def law(self, column: int, rows: Tensor | None = None) -> Law:
        """The laws of one flat column that is unknown in `rows` (all if None)."""
        ...


@runtime_checkable
class AnyOrder(Protocol):
    """A model with the one-dimensional law of every column given any others.

    Attributes:
        orders: over how many orders log-probabilities are averaged.
    """

    orders: int

    def contexts(self, values: Tensor, known: Tensor) -> Contexts:
        """Rows `[n, width]` in data units, of which the cells where `known [n, width]` are given."""
        ...


@runtime_checkable
class Ensemble(AnyOrder, Protocol):
    """A mixture of models of any order, all equally likely before anything is known.

    Attributes:
        members: how many there are.
    """

    members: int

    def contexts(self, values: Tensor, known: Tensor, member: Tensor | None = None) -> Contexts:
        """Rows as the members `member [n]` see them, as the first one does if None."""
        ...


@runtime_checkable
class Diffuses(Protocol):
    """A model of real variables that knows the score of its law smoothed by noise of any size.

    Attributes:
        encoder: from data units to the coordinates in which the noise is added, all about 1 in spread.
        levels: `[L]` ascending standard deviations of the noise: the steps of the discretised diffusion.
    """

    encoder: Encoder
    levels: Tensor

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        """The gradient at `[n, width]` of the log-density smoothed with `noise [n]`; differentiable in the points."""
        ...
