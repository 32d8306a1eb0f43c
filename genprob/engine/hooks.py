"""The inferences that come with genprob; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import InferenceSpec


@hookimpl
def genprob_inferences() -> Iterable[InferenceSpec]:
    yield InferenceSpec(
        name="em",
        factory="genprob.engine.inferences.em:em",
        summary="expectation maximisation on sufficient statistics",
        reference="Dempster, Laird and Rubin 1977",
    )
    yield InferenceSpec(
        name="elbo",
        factory="genprob.engine.inferences.elbo:elbo",
        summary="stochastic variational inference of a model/guide pair",
        reference="Hoffman et al. 2013",
    )
