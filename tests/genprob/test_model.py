"""What a plugin subclasses, and that its modules live and die with it."""

import pyro
import pyro.distributions as dist
import pytest
import torch

import genprob
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import PluginError
from genprob.model import Model

SCHEMA = Schema((Variable("x", Real()),))


class Net(Model):
    def __init__(self, schema):
        super().__init__(schema)
        self.scale = pyro.nn.PyroParam(torch.tensor(2.0), constraint=dist.constraints.positive)
        self.layer = pyro.nn.PyroModule[torch.nn.Linear](1, 1)

    def forward(self, x):
        return self.layer(x) * self.scale


def test_a_bare_model_prepares_nothing_and_is_no_program():
    model = Model(SCHEMA)
    assert model.prepare(None, seed=0) == [] and model.structure() == {} and model.precision == torch.float32
    model.build({})
    with pytest.raises(NotImplementedError, match="no Pyro program"):
        model.model(None)
    with pytest.raises(NotImplementedError, match="no guide"):
        model.guide(None)


def test_models_of_one_kind_share_no_parameter_while_they_run():
    pyro.clear_param_store()
    first, second = Net(SCHEMA), Net(SCHEMA)
    with torch.no_grad():
        second.layer.weight.copy_(first.layer.weight)
        second.layer.bias.copy_(first.layer.bias)
        second.scale_unconstrained.copy_(torch.tensor(5.0).log())
    x = torch.ones(1, 1)
    with running(Randomness(0)):
        assert torch.allclose(second(x) / first(x), torch.tensor(2.5))
        (-second(x)).sum().backward()
    assert first.layer.weight.grad is None and second.layer.weight.grad is not None
    assert not list(pyro.get_param_store().keys())


def test_parameters_have_their_plain_names():
    assert set(dict(Net(SCHEMA).named_parameters())) == {"scale_unconstrained", "layer.weight", "layer.bias"}


class Namesake(Model):
    """A latent that is called like the one variable."""

    def __init__(self, schema):
        super().__init__(schema)
        self.scale = torch.nn.Parameter(torch.ones(self.emission_width))

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("x", dist.Normal(torch.zeros_like(self.scale), 1).to_event(1))
            self.emit(self.scale * z, batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("x", dist.Normal(torch.zeros_like(self.scale), 1).to_event(1))


def test_a_latent_that_bears_a_variables_name_is_refused_in_one_line():
    with pytest.raises(PluginError, match="Namesake: a latent site is named 'x', like a variable") as caught:
        genprob.fit({"x": [0.5, 1.25, 0.75]}, Namesake, steps=2)
    assert caught.value.exit_code == 6 and "\n" not in str(caught.value)


class Late(Model):
    """A program that never asked in `__init__` how wide its decoder has to be."""

    def __init__(self, schema, *, wide: bool = False):
        super().__init__(schema)
        self.wide, self.scale = wide, torch.nn.Parameter(torch.ones(()))

    def model(self, batch):
        with batch.plate():
            z = pyro.sample("z", dist.Normal(torch.zeros(self.emission_width if self.wide else 1), 1).to_event(1))
            self.emit(self.scale * z, batch)

    def guide(self, batch):
        with batch.plate():
            pyro.sample("z", dist.Normal(torch.zeros(1), 1).to_event(1))


@pytest.mark.parametrize(("wide", "what"), [(False, "emit"), (True, "emission_width")])
def test_an_emission_that_init_never_asked_for_is_refused_in_one_line_at_the_fit(wide, what):
    with pytest.raises(PluginError, match=f"Late: {what} is used in a program, but __init__ read neither") as caught:
        genprob.fit({"x": [0.5, 1.25, 0.75]}, Late, steps=2, wide=wide)
    assert "\n" not in str(caught.value)
