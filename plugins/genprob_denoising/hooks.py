"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="dae",
        factory="genprob_denoising.dae:dae",
        summary="denoising autoencoder: the score, or the energy, of the data seen with noise",
        inferences=("dsm",),
        reference="Vincent et al. 2008; Alain and Bengio 2014",
    )
    yield ModelSpec(
        name="gsn",
        factory="genprob_denoising.gsn:GSN",
        summary="Markov chain that corrupts rows and reconstructs them, over any types",
        inferences=("walkback", "dsm"),
        reference="Bengio et al. 2014",
    )
    yield ModelSpec(
        name="score",
        factory="genprob_denoising.score:Score",
        summary="diffusion of real variables: the score at every level of noise",
        inferences=("dsm",),
        reference="Song and Ermon 2019; Song et al. 2021; Karras et al. 2022",
    )
