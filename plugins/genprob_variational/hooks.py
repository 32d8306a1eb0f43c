"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="vae",
        factory="genprob_variational.vae:VAE",
        summary="variational autoencoder: a latent code decoded by a network, queried through its guide",
        inferences=("elbo", "iwae"),
        reference="Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014",
    )
    yield ModelSpec(
        name="ssvae",
        factory="genprob_variational.ssvae:SSVAE",
        summary="variational autoencoder with a label that rows may lack",
        inferences=("elbo",),
        reference="Kingma, Rezende, Mohamed and Welling 2014 (M2)",
    )
