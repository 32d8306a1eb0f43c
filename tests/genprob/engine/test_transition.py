"""Transition: kernels whose stationary law is known."""

import pytest
import torch

from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend
from genprob.engine.fit import fit
from genprob.engine.phase import Phase
from genprob.engine.randomness import Randomness
from genprob.engine.state import State
from genprob.engine.transition import Transition
from genprob.errors import PluginError

MEAN = torch.tensor([1.0, -2.0])
COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 2.0]])
CHAINS = 400


class Walk:
    """Random-walk Metropolis whose step adapts to an acceptance of .35 while it is warming up."""

    def __init__(self, warm=100):
        self.warm = warm
        self.precision = torch.linalg.inv(COVARIANCE)

    def init(self, position):
        return {"size": 0.05, "count": 0}

    def log_density(self, x):
        return -0.5 * ((x - MEAN) @ self.precision * (x - MEAN)).sum(-1)

    def step(self, position, memory):
        proposal = position + memory["size"] * torch.randn_like(position)
        accept = torch.rand(len(position)).log() < self.log_density(proposal) - self.log_density(position)
        rate = accept.float().mean()
        size = memory["size"] * (1.1 if rate > 0.35 else 0.9) if memory["count"] < self.warm else memory["size"]
        new = torch.where(accept[:, None], proposal, position)
        return new, {"size": size, "count": memory["count"] + 1}, {"accepted": rate}


class Gibbs:
    """Exact conditionals of one coordinate given the other, in turn."""

    def init(self, position):
        return {}

    def step(self, position, memory):
        new = position.clone()
        for i, j in ((0, 1), (1, 0)):
            slope = COVARIANCE[0, 1] / COVARIANCE[j, j]
            sd = (COVARIANCE[i, i] - slope * COVARIANCE[0, 1]).sqrt()
            new[:, i] = MEAN[i] + slope * (new[:, j] - MEAN[j]) + sd * torch.randn(len(new))
        return new, memory, {}


@pytest.mark.parametrize("kernel, burn", [(Walk(), 200), (Gibbs(), 20)], ids=["walk", "gibbs"])
def test_chains_reach_a_gaussian(kernel, burn):
    blocks = Blocks({}, {"chains": torch.full((CHAINS, 2), 5.0)})
    move = Transition("walk", "chains", lambda blocks, batch: kernel)
    state, kept = State(blocks, Randomness(1)), []
    for _ in fit([Phase((move,), burn + 50)], state):
        if state.step > burn and state.step % 5 == 0:
            kept.append(blocks["chains"])
    draws = torch.cat(kept)
    torch.testing.assert_close(draws.mean(0), MEAN, atol=0.12, rtol=0)
    torch.testing.assert_close(draws.T.cov(), COVARIANCE, atol=0.2, rtol=0)


def test_adaptation_lives_in_the_memory_and_ends():
    blocks = Blocks({}, {"chains": torch.zeros(CHAINS, 2)})
    state = State(blocks, Randomness(0))
    sizes, rates = [], []
    for metrics in fit([Phase((Transition("walk", "chains", lambda b, _: Walk(60)),), 120)], state):
        sizes.append(state.memory["walk"]["size"])
        rates.append(float(metrics["walk.accepted"]))
    assert sizes[59] > 3 * sizes[0] and len(set(sizes[60:])) == 1
    assert 0.25 < sum(rates[60:]) / 60 < 0.45


def test_repeat_makes_that_many_transitions_a_step():
    blocks = Blocks({}, {"chains": torch.zeros(3, 2)})
    state = State(blocks, Randomness(0))
    list(fit([Phase((Transition("walk", "chains", lambda b, _: Walk(), repeat=4),), 2)], state))
    assert state.memory["walk"]["count"] == 8


class Flips:
    """Gibbs sampling of one binary spin with energy -theta x, theta as it stands."""

    def __init__(self, theta):
        self.theta = theta

    def init(self, position):
        return {}

    def step(self, position, memory):
        return (torch.rand_like(position) < torch.sigmoid(self.theta.detach())).to(position), memory, {}


def test_persistent_chains_and_a_gradient_learn_the_odds():
    """Persistent contrastive divergence of one spin: the maximum likelihood is known."""
    data = torch.tensor([1.0] * 8 + [0.0] * 2)
    net = torch.nn.ParameterDict({"theta": torch.zeros(())})
    blocks = Blocks({"energy": net}, {"chains": torch.zeros(2000)})

    def loss(blocks, batch):
        return blocks["energy.theta"] * (blocks["chains"].mean() - data.mean())

    moves = (
        Transition("sample", "chains", lambda blocks, _: Flips(blocks["energy.theta"])),
        Descend("learn", frozenset({"energy.*"}), loss, lambda p: torch.optim.SGD(p, lr=2.0), data="none"),
    )
    list(fit([Phase(moves, 80)], State(blocks, Randomness(0))))
    assert net["theta"].item() == pytest.approx(float(torch.logit(data.mean())), abs=0.15)


def test_chains_keep_no_graph_of_the_energy():
    net = torch.nn.ParameterDict({"theta": torch.ones(())})

    class Drift:
        def init(self, position):
            return {}

        def step(self, position, memory):
            return position + net["theta"], memory, {}

    blocks = Blocks({"energy": net}, {"chains": torch.zeros(3)})
    list(fit([Phase((Transition("drift", "chains", lambda b, _: Drift()),), 2)], State(blocks, Randomness(0))))
    assert not blocks["chains"].requires_grad and blocks["chains"].tolist() == [2.0] * 3


def test_a_kernel_that_needs_data_starts_with_the_first_batch(batch_of):
    class Pull:
        def __init__(self, centre):
            self.centre = centre

        def init(self, position):
            return {"began": float(self.centre)}

        def step(self, position, memory):
            return position * 0 + self.centre, memory, {}

    class Full:
        def __call__(self, step):
            raise AssertionError("the whole was asked for")

        def full(self):
            return batch_of([[2.0], [4.0]])

    blocks = Blocks({}, {"chains": torch.zeros(2)})
    state = State(blocks, Randomness(0))
    move = Transition("pull", "chains", lambda b, batch: Pull(batch.values.mean()), data="full")
    list(fit([Phase((move,), 2)], state, Full()))
    assert state.memory["pull"] == {"began": 3.0} and torch.equal(blocks["chains"].float(), torch.full((2,), 3.0))


def test_an_unknown_target_is_refused():
    state = State(Blocks({}, {"chains": torch.zeros(2)}), Randomness(0))
    with pytest.raises((PluginError, KeyError), match="gone"):
        next(fit([Phase((Transition("walk", "gone", lambda b, _: Gibbs()),), 1)], state))


def test_metrics_of_chains_are_kept_beside_them_and_logged_as_means():
    class Told(Gibbs):
        def step(self, position, memory):
            new, memory, _ = super().step(position, memory)
            return new, memory, {"first": new[:, 0], "high": new[:, 0] > 1, "size": torch.tensor(0.5)}

    blocks = Blocks({}, {"chains": torch.zeros(CHAINS, 2)})
    state = State(blocks, Randomness(1))
    move = Transition("walk", "chains", lambda *_: Told(), stats="stats")
    (metrics,) = fit([Phase((move,), 1)], state)
    first = blocks["chains"][:, 0]
    assert torch.equal(blocks["stats.first"], first) and torch.equal(blocks["stats.high"], first > 1)
    assert float(metrics["walk.first"]) == pytest.approx(float(first.mean()))
    assert float(metrics["walk.high"]) == pytest.approx(float((first > 1).float().mean()))
    assert float(metrics["walk.size"]) == 0.5
