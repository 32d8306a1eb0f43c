"""What this plugin contributes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="flow",
        factory="genprob_flow.flow:Flow",
        summary="invertible network over reals and rounded reals; splines, affine or coupling; exact density",
        inferences=("ml",),
        reference="Papamakarios, Pavlakou and Murray 2017; Durkan, Bekasov, Murray and Papamakarios 2019",
    )
