"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="anyorder",
        factory="genprob_autoregressive.anyorder:ResidualAnyOrder",
        summary="every variable given any others, by a network on top of one Gaussian's exact conditionals",
        inferences=("ml",),
        reference="Uria, Murray and Larochelle 2014; Germain et al. 2015",
    )
    yield ModelSpec(
        name="made",
        factory="genprob_autoregressive.made:MADE",
        summary="one masked network for all conditionals of an order; labels and binned numbers, exact likelihood",
        inferences=("ml",),
        reference="Germain, Gregor, Murray and Larochelle 2015",
    )
    yield ModelSpec(
        name="nade",
        factory="genprob_autoregressive.nade:NADE",
        summary="conditionals given a set of known cells; labels and binned numbers, exact likelihood",
        inferences=("ml",),
        reference="Larochelle and Murray 2011; Uria, Murray and Larochelle 2014",
    )
