"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="mixture",
        factory="genprob_mixture.mixture:Mixture",
        summary="mixture over columns of any type, every conditional in closed form",
        inferences=("em", "elbo"),
        reference="Dempster, Laird and Rubin 1977; Ghahramani and Jordan 1994",
    )
