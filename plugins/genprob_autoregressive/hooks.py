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
