"""The strategies that come with genprob; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import StrategySpec


@hookimpl
def genprob_strategies() -> Iterable[StrategySpec]:
    yield StrategySpec(
        name="closed-form",
        factory="genprob.query.strategies.closed_form:ClosedForm",
        summary="exact conditionals of models that have them",
        rank=10,
    )
    yield StrategySpec(
        name="enumeration",
        factory="genprob.query.strategies.enumeration:Enumeration",
        summary="sums over every state that the evidence leaves, where they are finitely many",
        rank=15,
    )
    yield StrategySpec(
        name="ancestral",
        factory="genprob.query.strategies.ancestral:Ancestral",
        summary="evidence first, then every variable given those before it, in random orders",
        rank=17,
        reference="Uria, Murray and Larochelle 2014",
    )
    yield StrategySpec(
        name="clamped",
        factory="genprob.query.strategies.clamped:Clamped",
        summary="the model's own Markov chains, held to the evidence",
        rank=18,
        reference="Geman and Geman 1984",
    )
    yield StrategySpec(
        name="draws",
        factory="genprob.query.strategies.plain:PlainDraws",
        summary="draws of the joint, where nothing is known",
        rank=19,
    )
    yield StrategySpec(
        name="posterior",
        factory="genprob.query.strategies.posterior:PosteriorDraws",
        summary="draws of a fitted program's parameters, weighed by new evidence",
        rank=19,
        reference="Gelfand, Dey and Chang 1992",
    )
    yield StrategySpec(
        name="importance",
        factory="genprob.query.strategies.importance:Importance",
        summary="self-normalised importance sampling from the model's proposals",
        rank=20,
        reference="Vehtari et al. 2024",
    )
    yield StrategySpec(
        name="smc",
        factory="genprob.query.strategies.smc:AnnealedSMC",
        summary="annealed sequential Monte Carlo, from a law that covers everything to the conditional",
        rank=30,
        reference="Del Moral, Doucet and Jasra 2006; Zhou, Johansen and Aston 2016",
    )
    yield StrategySpec(
        name="denoising",
        factory="genprob.query.strategies.denoising:Denoising",
        summary="denoising chains without an accept step, held to the evidence",
        rank=60,
        reference="Bengio et al. 2014",
    )
    yield StrategySpec(
        name="twisted-smc",
        factory="genprob.query.strategies.twisted:Twisted",
        summary="particles of a diffusion, steered by what the evidence will say of them",
        rank=30,
        reference="Wu et al. 2023",
    )
    yield StrategySpec(
        name="latent-hmc",
        factory="genprob.query.strategies.latent_hmc:LatentHMC",
        summary="Hamiltonian chains over the latents of a program",
        rank=40,
        reference="Hoffman, Radul and Sountsov 2021",
    )
    yield StrategySpec(
        name="pseudo-gibbs",
        factory="genprob.query.strategies.pseudo_gibbs:PseudoGibbs",
        summary="latents by the guide, corrected, and unknown cells, in turn",
        rank=45,
        reference="Mattei and Frellsen 2018",
    )
    yield StrategySpec(
        name="rejection",
        factory="genprob.query.strategies.rejection:Rejection",
        summary="draws that meet the evidence, within a budget",
        rank=90,
    )
