"""genprob: learn a joint distribution once, ask it any question, be told how far to trust the answer.

The public names below are imported on first use, so `import genprob` loads neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genprob import errors as errors
    from genprob.comparison import compare as compare
    from genprob.data.batch import Batch as Batch
    from genprob.data.readers import read as read
    from genprob.data.schema import Schema as Schema
    from genprob.data.schema import Variable as Variable
    from genprob.evaluation import evaluate as evaluate
    from genprob.fitting import fit as fit
    from genprob.joint import Joint as Joint
    from genprob.joint import load as load
    from genprob.model import Model as Model
    from genprob.query.evidence import Equals as Equals
    from genprob.query.evidence import Masked as Masked
    from genprob.query.evidence import OneOf as OneOf
    from genprob.query.evidence import Soft as Soft
    from genprob.query.evidence import Within as Within
    from genprob.results.file import open as open

__version__ = "0.1.0"

_PLACES = {
    "Batch": "genprob.data.batch:Batch",
    "Equals": "genprob.query.evidence:Equals",
    "Joint": "genprob.joint:Joint",
    "Masked": "genprob.query.evidence:Masked",
    "Model": "genprob.model:Model",
    "OneOf": "genprob.query.evidence:OneOf",
    "Schema": "genprob.data.schema:Schema",
    "Soft": "genprob.query.evidence:Soft",
    "Variable": "genprob.data.schema:Variable",
    "Within": "genprob.query.evidence:Within",
    "compare": "genprob.comparison:compare",
    "errors": "genprob.errors",
    "evaluate": "genprob.evaluation:evaluate",
    "fit": "genprob.fitting:fit",
    "load": "genprob.joint:load",
    "open": "genprob.results.file:open",
    "read": "genprob.data.readers:read",
}

__all__ = [
    "Batch",
    "Equals",
    "Joint",
    "Masked",
    "Model",
    "OneOf",
    "Schema",
    "Soft",
    "Variable",
    "Within",
    "__version__",
    "compare",
    "errors",
    "evaluate",
    "fit",
    "load",
    "open",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'genprob' has no attribute {name!r}; it has {', '.join(sorted(_PLACES))}")
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
