"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import MetricSpec, ModelSpec


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


@hookimpl
def genprob_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        name="convergence",
        factory="genprob_variational.convergence:Convergence",
        summary="the bound on the likelihood by 1, 10, 100, ... draws of the guide",
        reference="Burda, Grosse and Salakhutdinov 2016",
    )
