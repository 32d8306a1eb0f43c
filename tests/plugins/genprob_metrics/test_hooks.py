import inspect

import pytest

from genprob import plugins
from genprob.options import options
from genprob_metrics.hooks import genprob_metrics

SPECS = list(genprob_metrics())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_metric_is_registered_and_its_options_are_explained(spec):
    assert plugins.find("metric", spec.name) == spec
    factory = plugins.resolve(spec.factory)
    known = options(factory)
    assert all(option.doc for option in known), [option.name for option in known if not option.doc]
    kinds = {p.kind for p in list(inspect.signature(factory).parameters.values())}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    assert "seed" in {option.name for option in known}
