"""What an inference says to a model that it does not suit."""

import pytest

from genprob import plugins
from genprob.engine.capabilities import Energy, LogDensity, require
from genprob.errors import UsageError
from genprob.model import Model
from genprob_mixture.mixture import Mixture

NEEDS = {
    "em": ("closed-form", "expectation, maximisation"),
    "ml": ("log-density", "log_density"),
    "pcd": ("energy", "energy, points"),
    "cd": ("energy", "energy, points"),
    "adversarial": ("critic and a generator", "critic, generate, generator, judge, points"),
    "dsm": ("score", "points, score"),
    "hmc": ("posterior", "log_posterior, positions"),
}


@pytest.fixture
def schema(batch_of):
    return batch_of([[1.0]]).schema


@pytest.mark.parametrize("name", NEEDS)
def test_a_model_that_lacks_the_capability_is_refused_in_one_line(name, schema):
    factory = plugins.resolve(plugins.find("inference", name).factory)
    what, lacks = NEEDS[name]
    with pytest.raises(UsageError) as told:
        factory(Model(schema))
    text = str(told.value)
    assert f"inference {name!r} needs" in text and what in text and "Model has not" in text
    assert f"lacks {lacks})" in text and "\n" not in text


@pytest.mark.parametrize("name", sorted(set(NEEDS) - {"em", "hmc"}))
def test_no_family_is_refused_by_name_but_by_what_it_cannot_do(name, schema):
    factory = plugins.resolve(plugins.find("inference", name).factory)
    with pytest.raises(UsageError, match="which Mixture has not"):
        factory(Mixture(schema, components=2))


def test_only_what_is_lacking_is_named(schema):
    class Half(Model):
        def points(self, batch):
            return batch.values

        def log_density(self, batch):
            return batch.values[:, 0]

    half = Half(schema)
    require(half, LogDensity, "ml", "a log-density")
    with pytest.raises(UsageError, match=r"\(Energy lacks energy\)"):
        require(half, Energy, "pcd", "an energy")
