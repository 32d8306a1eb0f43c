"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="gan",
        factory="genprob_adversarial.gan:GAN",
        summary="generator against a discriminator, seen through noise",
        inferences=("adversarial",),
        reference="Goodfellow et al. 2014",
    )
    yield ModelSpec(
        name="dcgan",
        factory="genprob_adversarial.gan:DCGAN",
        summary="convolutional generator against a convolutional discriminator, for images",
        inferences=("adversarial",),
        reference="Radford et al. 2016",
    )
    yield ModelSpec(
        name="wgan",
        factory="genprob_adversarial.gan:WGAN",
        summary="generator that minimises Wasserstein's distance, seen through noise",
        inferences=("adversarial",),
        reference="Arjovsky et al. 2017; Gulrajani et al. 2017",
    )
    yield ModelSpec(
        name="ali",
        factory="genprob_adversarial.ali:ALI",
        summary="generator and encoder against a discriminator of pairs, seen through noise",
        inferences=("adversarial",),
        reference="Dumoulin et al. 2017; Donahue et al. 2017",
    )
