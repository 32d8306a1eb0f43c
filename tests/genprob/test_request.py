"""What a fit is asked for, and what a run says it was asked for."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from genprob import plugins
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.errors import PluginError, UsageError
from genprob.request import Request, whole
from genprob.spec import ModelSpec

SCHEMA = Schema((Variable("x", Real()),))


def ask(model=None, options=None, inference=None, steps=None, seed=0):
    return Request.of(model, options or {}, inference, steps, seed)


def test_defaults_and_the_way_through_a_configuration():
    request = ask()
    assert request.config() == {"model": "mixture", "options": {}, "inference": {"name": "em"}, "seed": 0}
    request = ask("mixture", {"components": 3}, {"name": "elbo", "lr": 0.1}, 7, 5)
    assert Request.read(request.config()) == request and request.steps == 7
    assert request.inference == {"name": "elbo", "lr": 0.1, "steps": 7}


def test_steps_may_come_as_a_text_as_other_options_of_an_inference_do():
    assert ask(inference={"name": "em", "steps": "600"}).steps == 600
    assert ask(inference={"name": "em", "steps": "600"}, steps=600).steps == 600
    with pytest.raises(UsageError, match="steps=7 and inference option steps=600"):
        ask(inference={"name": "em", "steps": "600"}, steps=7)
    with pytest.raises(UsageError, match="steps='many'"):
        ask(inference={"name": "em", "steps": "many"})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"model": "mixtur"}, "unknown model 'mixtur'; did you mean 'mixture'"),
        ({"options": {"component": 3}}, "no option 'component'; did you mean 'components'"),
        ({"inference": "elb"}, "unknown inference 'elb'; did you mean 'elbo'"),
        ({"inference": {"name": "em", "tolerence": 1}}, "no option 'tolerence'; did you mean 'tolerance'"),
        ({"inference": {"tolerance": 1}}, "needs a name"),
        ({"options": {"components": "three"}}, "components='three': expected int"),
        ({"options": {"components": 2.5}}, "components=2.5: expected int|components='2.5': expected int"),
        ({"options": {"components": {"a": 1}}}, "components=.*expected int"),
        ({"options": {"ridge": "small"}}, "ridge='small': expected float"),
        ({"steps": -1}, "steps=-1: must be a whole number, 0 or more"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"inference": {"name": "em", "steps": -2}}, "steps=-2"),
        ({"inference": {"name": "em", "steps": 3}, "steps": 4}, "steps=4 and inference option steps=3"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "a"}, "seed='a'"),
        ({"seed": None}, "seed=None"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest_names(arguments, message):
    with pytest.raises(UsageError, match=message):
        ask(**arguments)


def test_values_are_read_as_the_annotations_say():
    options = {"components": np.int64(3), "ridge": "1e-3", "smoothing": 2, "shrinkage": None}
    assert ask(options=options).options == {"components": 3, "ridge": 1e-3, "smoothing": 2.0, "shrinkage": None}
    assert ask(options={"components": "4", "covariance": "diagonal"}).build(SCHEMA).components == 4


def test_continuing_compares_what_is_said_again_with_what_was_said():
    request = ask(options={"components": 3}, inference={"name": "em", "tolerance": 0.1}, seed=4)
    request.check(None, {}, None, 0)
    request.check("mixture", {"components": 3, "smoothing": 1.0}, {"name": "em", "tolerance": 0.1, "steps": 50}, 4)
    request.check("genprob:mixture", {}, "em", 4)
    for said in (
        (None, {"components": 4}, None, 0),
        (None, {"smoothing": 2.0}, None, 0),
        (None, {}, "elbo", 0),
        (None, {}, {"name": "em", "tolerance": 0.2}, 0),
        (None, {}, {"name": "em", "holdout": 0.5}, 0),
        (None, {}, None, 5),
    ):
        with pytest.raises(UsageError, match="the run was begun with"):
            request.check(*said)


@pytest.mark.parametrize("value", [0, 3, np.int32(3), 3.0])
def test_whole_numbers(value):
    assert whole("n", value, 0) == int(value) and type(whole("n", value, 0)) is int


@pytest.mark.parametrize("value", [-1, 0.5, float("nan"), float("inf"), "3", None, True, 2**63])
def test_what_is_no_whole_number(value):
    with pytest.raises(UsageError, match=r"n=.*whole number, 0 or more"):
        whole("n", value, 0)


@pytest.fixture
def toy(monkeypatch):
    """A model of an enabled package whose option is itself a factory."""

    class Toy(torch.nn.Module):
        def __init__(self, schema: Schema, *, network: type = torch.nn.Identity, hidden: tuple[int, ...] = (8,)):
            super().__init__()
            self.network, self.hidden = network(), hidden

    module = types.ModuleType("genprob_mixture.toy")

    class Small:
        pass

    for made in (Toy, Small):
        made.__module__, made.__qualname__ = module.__name__, made.__name__
        setattr(module, made.__name__, made)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec, find = ModelSpec("toy", "genprob_mixture.toy:Toy", "", ("em",)), plugins.find
    monkeypatch.setattr(plugins, "find", lambda kind, name: spec if name == "toy" else find(kind, name))
    return module


def test_a_factory_among_the_options_is_kept_by_name(toy):
    request = ask("toy", {"network": toy.Small, "hidden": (4, 2)})
    assert request.options == {"network": "genprob_mixture.toy:Small", "hidden": [4, 2]}
    made = Request.read(json.loads(json.dumps(request.config()))).build(SCHEMA)
    assert type(made.network) is toy.Small and made.hidden == (4, 2)


def test_nothing_is_imported_that_no_enabled_plugin_provides(toy, tmp_path, monkeypatch):
    (tmp_path / "elsewhere.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    run = Request("toy", {"network": "elsewhere:Thing"}, {"name": "em"}, 0)
    with pytest.raises(PluginError, match="no enabled plugin provides elsewhere"):
        run.build(SCHEMA)
    with pytest.raises(PluginError, match="no enabled plugin provides elsewhere"):
        ask("toy", {"network": "elsewhere:Thing"})
    assert "elsewhere" not in sys.modules


def test_a_model_whose_plugin_is_off_is_a_plugin_error(monkeypatch):
    request = ask()
    monkeypatch.setenv("GENPROB_PLUGINS", "-mixture")
    with pytest.raises(PluginError, match=r"'mixture'.*not enabled"):
        request.build(SCHEMA)
    with pytest.raises(PluginError, match=r"'mixture'.*not enabled"):
        request.check(None, {}, None, 0)
