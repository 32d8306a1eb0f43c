"""Adversarial training: a critic and a generator in turn."""

from __future__ import annotations

from typing import Literal, cast

import torch

from genprob.data.batch import Batch
from genprob.engine.average import Average
from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Averages, Game, Infers, Observes, require
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.losses.adversarial import Contest, accuracy, critic, generator
from genprob.engine.losses.sleep import bound, sleep
from genprob.engine.measure import Measure
from genprob.engine.move import Metrics
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.errors import UsageError
from genprob.model import Model

_LEAST_HELD = 20
"""Of fewer rows none is held out."""
_LOOKED_AT = 512
_COPIES = 16


def adversarial(
    model: Model,
    *,
    steps: int = 2000,
    contest: Literal["logistic", "original", "wasserstein"] | None = None,
    turns: int | None = None,
    penalty: float | None = None,
    lr: float = 2e-3,
    critic_lr: float | None = None,
    batch_size: int = 256,
    holdout: float = 0.1,
    observation: float = 0.3,
    decay: float = 0.999,
) -> Program:
    """A game of two players (Goodfellow et al. 2014): the critic, on fresh rows each time, then the generator.

    The metric `watch.accuracy` is that of the critic on rows held out: one half where the game is over, more where
    the critic has learned its rows by heart or the generator stands still. A model with an observation model is
    then fitted with its noise, on the rows held out, and its guide, on the model's own draws, the generator standing.

    Arguments:
        steps: steps of the generator and of the observation model together.
        contest: logistic, original (the minimax game itself), or wasserstein (Arjovsky et al. 2017); None for the
            model's own, or logistic.
        turns: steps of the critic to one of the generator; None is 5 for wasserstein, else 1.
        penalty: weight of the penalty on the critic's slope; None is 10 for wasserstein, else 1.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        critic_lr: the critic's; None takes the generator's.
        batch_size: rows of a step of either, and points generated beside them.
        holdout: share of the rows that neither player sees.
        observation: share of the steps for the noise and the guide of a model with an observation model.
        decay: of the moving average of the generator, for a model that keeps one.
    """
    require(model, Game, "adversarial", "a critic and a generator")
    if not 0 <= holdout < 1 or not 0 <= observation < 1:
        raise UsageError(f"holdout={holdout}, observation={observation}: shares lie in [0, 1)")
    game = cast(Game, model)
    kind = cast(Contest, contest if contest is not None else getattr(model, "contest", "logistic"))
    turns = turns if turns is not None else 5 if kind == "wasserstein" else 1
    penalty = penalty if penalty is not None else 10.0 if kind == "wasserstein" else 1.0
    later = int(observation * steps) if isinstance(model, Observes) else 0
    rounds = steps - later
    split = _Split(holdout)
    second = {"model.generator.*", "model.encoder.*"} if isinstance(model, Infers) else {"model.generator.*"}

    def watch(blocks: Blocks, batch: Batch | None) -> Metrics:
        assert batch is not None
        return {"accuracy": accuracy(game, split.held(batch, _LOOKED_AT))}

    # Momentum makes players circle each other.
    moves = [
        Descend(
            "critic",
            frozenset({"model.critic.*"}),
            critic(game, kind, penalty, split.played),
            adam(lr if critic_lr is None else critic_lr, betas=(0.0, 0.99)),
            warmup_cosine(),
            horizon=rounds * turns,
            repeat=turns,
        ),
        Descend(
            "generator",
            frozenset(second),
            generator(game, kind, split.played),
            adam(lr, betas=(0.0, 0.99)),
            warmup_cosine(),
            horizon=rounds,
            data="same",
        ),
        Measure("watch", watch, max(1, rounds // 100)),
    ]
    if isinstance(model, Averages):
        moves.insert(2, Average("average", "model.generator.", "model.average.", decay))
    phases = [Phase(tuple(moves), rounds, name="game")]
    if later:
        phases.append(Phase(_observation(model, split, later), later, name="observation"))
    return Program(tuple(phases), Blocks({"model": model}), "critic.margin", batch_size=batch_size)


def _observation(model: Model, split: _Split, steps: int) -> tuple[Descend, ...]:
    """The guide learns from draws of the model, and the noise from rows that the game has not seen."""
    fit = bound(model, _COPIES)

    def noise(blocks: Blocks, batch: Batch | None):
        assert batch is not None
        return fit(blocks, split.held(batch, 64))

    parts: list[tuple[str, set[str]]] = [("guide", {"model.encoder.*"}), ("noise", {"model.heads.*"})]
    losses = {"guide": sleep(model), "noise": noise}
    return tuple(
        Descend(
            name,
            frozenset(writes),
            losses[name],
            adam(3e-3 if name == "guide" else 3e-2),
            warmup_cosine(),
            clip=100.0,
            horizon=steps,
            data="fresh" if name == "guide" else "full",
        )
        for name, writes in parts
    )


class _Split:
    """Which rows play, and which are held out, by their place in the whole; of a handful of rows all do both."""

    def __init__(self, share: float) -> None:
        self.share = share

    def _out(self, batch: Batch) -> torch.Tensor:
        if batch.total * self.share < _LEAST_HELD:
            return torch.zeros_like(batch.index, dtype=torch.bool)
        return (batch.index * 2654435761) % 2**32 < self.share * 2**32

    def played(self, batch: Batch) -> Batch:
        out = self._out(batch)
        return batch.take((~out).nonzero()[:, 0]) if bool(out.any()) else batch

    def held(self, batch: Batch, most: int) -> Batch:
        """At most so many rows held out, drawn anew from the whole."""
        out = self._out(batch)
        rows = out.nonzero()[:, 0] if bool(out.any()) else torch.arange(len(batch), device=out.device)
        return batch.take(rows[torch.randperm(len(rows), device=rows.device)[:most]])
