"""Adversarial training: a critic and a generator in turn."""

from __future__ import annotations

from typing import Literal, cast

from genprob.engine.blocks import Blocks
from genprob.engine.capabilities import Game, require
from genprob.engine.descend import Descend, adam, warmup_cosine
from genprob.engine.losses.adversarial import critic, generator
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.model import Model


def adversarial(
    model: Model,
    *,
    steps: int = 2000,
    contest: Literal["logistic", "wasserstein"] = "logistic",
    turns: int = 1,
    penalty: float = 1.0,
    lr: float = 2e-3,
    critic_lr: float | None = None,
    batch_size: int = 256,
) -> Program:
    """A game of two players (Goodfellow et al. 2014): the critic, on fresh rows each time, then the generator.

    Arguments:
        steps: steps of the generator.
        contest: logistic, or wasserstein (Arjovsky et al. 2017), for which 5 turns and a penalty of 10 are usual.
        turns: steps of the critic to one of the generator.
        penalty: weight of the penalty on the critic's slope.
        lr: peak learning rate; warmed up over the first twentieth, then half a cosine to zero.
        critic_lr: the critic's; None takes the generator's.
        batch_size: rows of a step of either, and points generated beside them.
    """
    require(model, Game, "adversarial", "a critic and a generator")
    game = cast(Game, model)
    # Momentum makes players circle each other.
    players = (
        Descend(
            "critic",
            frozenset({"model.critic.*"}),
            critic(game, contest, penalty),
            adam(lr if critic_lr is None else critic_lr, betas=(0.0, 0.99)),
            warmup_cosine(),
            horizon=steps * turns,
            repeat=turns,
        ),
        Descend(
            "generator",
            frozenset({"model.generator.*"}),
            generator(game, contest),
            adam(lr, betas=(0.0, 0.99)),
            warmup_cosine(),
            horizon=steps,
            data="same",
        ),
    )
    return Program(
        (Phase(players, steps, name="adversarial"),), Blocks({"model": model}), "critic.margin", batch_size=batch_size
    )
