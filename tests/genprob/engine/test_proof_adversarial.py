"""The game of critic and generator on a Gaussian, whose mean and standard deviation are known."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from genprob.data.batch import Minibatches
from genprob.engine.fit import fit
from genprob.engine.inferences.adversarial import adversarial
from genprob.model import Model

MEAN, SD = 3.0, 0.5


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.sd = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, noise):
        return self.mean + self.sd * noise


class Toy(Model):
    """An affine map of noise against a small network that sees x and its square."""

    def __init__(self, schema, generator=Affine):
        super().__init__(schema)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.generator = generator()
            self.critic = nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 1))

    def points(self, batch):
        return batch.values

    def generate(self, count):
        return self.generator(torch.randn(count, 1))

    def judge(self, points):
        centred = points - 2.0
        return self.critic(torch.cat([centred, centred.square()], 1))[:, 0]


def batchnorm():
    return nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Softplus(), nn.Linear(4, 1))


@pytest.fixture
def rows(batch_of):
    values = MEAN + SD * torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    return batch_of((values - values.mean()) / values.std() * SD + MEAN)


@pytest.fixture
def single(rows):
    return replace(rows, values=rows.values.float())


@pytest.mark.parametrize(
    "rules",
    [{"steps": 600, "penalty": 0.1}, {"steps": 300, "contest": "wasserstein", "turns": 4, "penalty": 10.0}],
    ids=["logistic", "wasserstein"],
)
def test_the_generator_takes_the_mean_and_the_standard_deviation(rules, single, state_of):
    model = Toy(single.schema)
    program = adversarial(model, lr=0.02, **rules)
    list(fit(program.phases, state_of(program.blocks), Minibatches(single, 256, 0)))
    assert float(model.generator.mean.detach()) == pytest.approx(MEAN, abs=0.1)
    assert abs(float(model.generator.sd.detach())) == pytest.approx(SD, abs=0.1)


def test_the_critic_of_a_generator_that_stands_measures_the_distance(single, state_of):
    """Wasserstein's distance from N(0, 1) to N(3, .5) is that of their quantiles, the mean of |3 - .5 z|."""
    model = Toy(single.schema)
    program = adversarial(
        model, steps=120, lr=0.0, critic_lr=0.03, contest="wasserstein", turns=3, penalty=100.0, batch_size=256
    )
    state = state_of(program.blocks)
    told = [float(m["critic.margin"]) for m in fit(program.phases, state, Minibatches(single, 256, 0))]
    assert (float(model.generator.mean.detach()), float(model.generator.sd.detach())) == (0.0, 1.0)
    assert state.memory["critic"]["count"] == 360 and state.memory["generator"]["count"] == 120
    assert sum(told[-20:]) / 20 == pytest.approx(MEAN, rel=0.1)


def test_a_player_that_rests_does_not_move(single, state_of):
    """Only the critic plays: the generator's weights and running statistics stay, bit for bit."""
    model = Toy(single.schema, batchnorm)
    program = adversarial(model, steps=5)
    critic, generator, _ = program.phases[0].moves
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for move, own in ((critic, "critic."), (generator, "generator.")):
        start = {name: value.clone() for name, value in model.state_dict().items()}
        state = state_of(program.blocks)
        list(fit([type(program.phases[0])((move,), 5)], state, Minibatches(single, 256, 0)))
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
        assert moved and all(name.startswith(own) for name in moved)
    assert not torch.equal(model.state_dict()["generator.1.running_mean"], before["generator.1.running_mean"])


def test_a_critic_of_wasserstein_turns_when_the_generator_has_passed_the_data(single, state_of):
    """Its slope in one dimension has to cross zero: a penalty on small slopes too would be a wall there."""
    model = Toy(single.schema)
    told = []
    for mean in (0.0, MEAN + 2.0):
        with torch.no_grad():
            model.generator.mean.fill_(mean)
        program = adversarial(model, steps=60, lr=0.0, critic_lr=0.03, contest="wasserstein", turns=5, penalty=100.0)
        state, batches = state_of(program.blocks), Minibatches(single, 256, 0)
        told = [float(m["critic.margin"]) for m in fit(program.phases, state, batches)]
    assert told[0] < -0.5 and told[-1] > 1


@pytest.mark.parametrize("contest", ["logistic", "wasserstein"])
def test_resumed_is_unbroken(contest, single, unbroken):
    def make():
        program = adversarial(Toy(single.schema, batchnorm), steps=9, turns=3, contest=contest)
        return program.phases, program.blocks

    unbroken(make, Minibatches(single, 300, 0))
