"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="rbm",
        factory="genprob_energy.rbm:RBM",
        summary="restricted Boltzmann machine over binaries, categories and reals",
        inferences=("pcd", "cd"),
        reference="Smolensky 1986; Hinton 2002",
    )
    yield ModelSpec(
        name="boltzmann",
        factory="genprob_energy.boltzmann:Boltzmann",
        summary="Boltzmann machine over binaries and categories, every pair coupled",
        inferences=("pcd", "pseudolikelihood", "cd"),
        reference="Ackley, Hinton and Sejnowski 1985; Potts 1952",
    )
    yield ModelSpec(
        name="tangled",
        factory="genprob_energy.tangled:Tangled",
        summary="general Boltzmann machine: hidden units coupled to the columns and to one another",
        inferences=("pcd",),
        reference="Ackley, Hinton and Sejnowski 1985",
    )
    yield ModelSpec(
        name="energy",
        factory="genprob_energy.residual:energy",
        summary="deep energy: a network over encoded reals, images, and one-hot binaries and categories",
        inferences=("replay", "nce", "pcd", "dsm"),
        reference="LeCun et al. 2006; Du and Mordatch 2019",
    )
