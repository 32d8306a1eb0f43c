"""Every inference through `genprob.fit` itself: the answer that is known, the run, killed and resumed, loaded."""

import random

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import genprob
from genprob import training
from genprob.engine.run import Run

MEAN, SD = 3.0, 0.5
X = MEAN + SD * np.random.default_rng(0).standard_normal(400)
X = (X - X.mean()) / X.std() * SD + MEAN
DATA, SCHEMA = {"x": X}, {"x": "real"}


def parameter(value=0.0):
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


class Known(genprob.Model):
    """A Gaussian: whatever an inference needs of one, with its mean to be learned."""

    precision = torch.float64
    inferences = ("ml", "cd", "pcd", "dsm")

    def __init__(self, schema):
        super().__init__(schema)
        self.mean = parameter(2.0)

    def points(self, batch):
        return batch.values

    def energy(self, points):
        return 0.5 * ((points[:, 0] - self.mean) / SD).square()

    def log_density(self, batch):
        return -self.energy(batch.values)

    def score(self, points, noise):
        return (self.mean - points) / (SD**2 + noise.square())[:, None]


class Player(genprob.Model):
    """An affine map of noise, and a critic that sees x and its square."""

    inferences = ("adversarial",)

    def __init__(self, schema):
        super().__init__(schema)
        self.generator = nn.Linear(1, 1)
        self.critic = nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 1))

    def points(self, batch):
        return batch.values

    def generate(self, count):
        return self.generator(torch.randn(count, 1))

    def judge(self, points):
        return self.critic(torch.cat([points - 2, (points - 2).square()], 1))[:, 0]

    @property
    def mean(self):
        return self.generator.bias


class Unknown(genprob.Model):
    """The unknown mean of the rows, flat prior: normal around their mean with SD / sqrt(rows)."""

    precision = torch.float64
    inferences = ("hmc",)

    def positions(self, chains):
        return MEAN + torch.randn(chains, 1, dtype=torch.float64)

    def log_posterior(self, positions, batch):
        return -0.5 * ((batch.values[:, 0] - positions) / SD).square().sum(-1)

    def unknowns(self, positions):
        return {"mu": positions[:, 0], "double": 2 * positions}


EXTRA = """
import torch
from genprob.engine.blocks import Blocks
from genprob.engine.descend import Descend, adam
from genprob.engine.kernels.random_walk import RandomWalk
from genprob.engine.phase import Phase
from genprob.engine.program import Program
from genprob.engine.transition import Transition
from genprob.spec import InferenceSpec

def genprob_inferences():
    for name in ("layers", "row_chains"):
        yield InferenceSpec(name, "extra_inferences_more:" + name, "a test's own")

def layers(model, *, steps: int = 20):
    '''The first layer, then the second.

    Arguments:
        steps: of both.
    '''
    def phase(name, loss):
        move = Descend(name, frozenset({f"model.{name}"}), loss, adam(0.1))
        return Phase((move,), steps // 2, name=name)
    first = phase("mean", lambda blocks, batch: (batch.values[:, 0] - model.mean).square().mean())
    square = lambda blocks, batch: ((batch.values[:, 0] - model.mean).square() - model.spread).square().mean()
    return Program((first, phase("spread", square)), Blocks({"model": model}), "mean.loss", batch_size=64)

def row_chains(model, *, steps: int = 20):
    '''A chain for each row, around it.

    Arguments:
        steps: in all.
    '''
    def kernel(blocks, batch):
        return RandomWalk(lambda z: -0.5 * (z - batch.values).square().sum(1))
    def start(blocks, batch):
        return torch.zeros(batch.total, 1, dtype=torch.float64)
    chains = Transition("z", "z", kernel, data="same", start=start, per_row=True, repeat=3)
    loss = lambda blocks, batch: (blocks["z"][batch.index, 0] - model.mean).square().mean()
    learn = Descend("learn", frozenset({"model.mean"}), loss, adam(0.1), data="same")
    return Program((Phase((chains, learn), steps),), Blocks({"model": model}), "learn.loss", batch_size=250)
"""


class Layered(Known):
    inferences = ("layers", "row_chains")

    def __init__(self, schema):
        super().__init__(schema)
        self.spread = parameter(1.0)


@pytest.fixture
def extra(site):
    """Two inferences of a third party: one phase a layer, and a chain a row."""
    site.install("extra-inferences", "more", EXTRA)


class Killed(BaseException):
    """What ends a process without a word."""


SHORT = {
    "ml-adam": (Known, {"name": "ml", "batch_size": 64}),
    "ml-lbfgs": (Known, {"name": "ml", "optimizer": "lbfgs"}),
    "cd": (Known, {"name": "cd", "batch_size": 64}),
    "pcd": (Known, {"name": "pcd", "batch_size": 64}),
    "dsm": (Known, {"name": "dsm", "batch_size": 64}),
    "adversarial": (Player, {"name": "adversarial", "turns": 2, "batch_size": 64}),
    "wasserstein": (Player, {"name": "adversarial", "contest": "wasserstein", "turns": 3, "batch_size": 64}),
    "hmc": (Unknown, {"name": "hmc", "warmup": 8, "chains": 4, "leapfrogs": 3, "shard": 5}),
    "layers": (Layered, {"name": "layers"}),
    "row-chains": (Layered, {"name": "row_chains"}),
}


@pytest.mark.parametrize("name", SHORT)
def test_killed_at_random_and_resumed_is_unbroken(name, extra, tmp_path, same, monkeypatch):
    """Killed three times, once before any checkpoint but the first; the run is then the one that was left alone."""
    model, inference = SHORT[name]
    ask = {"model": model, "inference": inference, "schema": SCHEMA, "seed": 5, "steps": 16}
    whole = genprob.fit(DATA, out=tmp_path / "whole", **ask)
    monkeypatch.setattr(training, "_PROGRESS_SECONDS", 0.0)
    rng, run = random.Random(name), tmp_path / "run"
    for seconds, at in zip((1e9, 0.0, 0.0), sorted(rng.sample(range(1, 16), 3)), strict=True):
        monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", seconds)

        def kill(event, at=at):
            if event.get("step") == at:
                raise Killed

        with pytest.raises(Killed):
            genprob.fit(DATA, out=run, progress=kill, resume=True, **ask)
        assert not Run.open(run).finished
        assert Run.open(run).step == (0 if seconds else at - 1)
    again = genprob.fit(DATA, out=run, resume=True, **ask)
    trees = [Run.open(path).load().tree["state"] for path in (run, tmp_path / "whole")]
    assert trees[0]["step"] == 16 and same(*trees)
    loaded = genprob.load(run)
    assert all(same(dict(j.model.state_dict()), dict(whole.model.state_dict())) for j in (again, loaded))
    assert genprob.open(run / "fit.nc").identical(genprob.open(tmp_path / "whole" / "fit.nc"))
    if model is Unknown:
        assert loaded.posterior.identical(whole.posterior)


@pytest.mark.parametrize(
    "model, inference, steps",
    [
        (Known, {"name": "ml", "lr": 0.1, "holdout": 0.0, "batch_size": 1000}, 150),
        (Known, {"name": "ml", "optimizer": "lbfgs", "holdout": 0.0}, 4),
        (Known, {"name": "cd", "k": 3, "lr": 0.1}, 150),
        (Known, {"name": "pcd", "lr": 0.1}, 200),
        (Known, {"name": "dsm", "lr": 0.1, "most": 1.0}, 200),
        (Player, {"name": "adversarial", "lr": 0.02, "penalty": 0.1}, 600),
        (Layered, {"name": "layers"}, 160),
        (Layered, {"name": "row_chains"}, 150),
    ],
    ids=["ml-adam", "ml-lbfgs", "cd", "pcd", "dsm", "adversarial", "layers", "row-chains"],
)
def test_the_mean_is_learned_and_loaded(model, inference, steps, extra, tmp_path):
    genprob.fit(DATA, model, inference=inference, schema=SCHEMA, out=tmp_path / "run", steps=steps)
    learned = genprob.load(tmp_path / "run").model
    assert float(learned.mean.detach()) == pytest.approx(MEAN, abs=0.15)
    if inference["name"] == "layers":
        assert float(learned.spread.detach()) == pytest.approx(SD**2, abs=0.05)


def test_draws_of_a_posterior_are_kept_in_the_run(tmp_path):
    method = {"name": "hmc", "warmup": 60, "chains": 8, "leapfrogs": 5, "shard": 50}
    joint = genprob.fit(DATA, Unknown, inference=method, schema=SCHEMA, steps=260, out=tmp_path / "run")
    tree = genprob.load(tmp_path / "run").posterior
    assert isinstance(tree, xr.DataTree) and tree.identical(joint.posterior)
    assert "posterior.nc" in Run.open(tmp_path / "run").files()
    mu, lp = tree["posterior"]["mu"], tree["sample_stats"]["lp"]
    assert mu.dims == lp.dims == ("chain", "draw") and mu.shape == (8, 200)
    assert tree["posterior"]["double"].dims == ("chain", "draw", "double_dim_0")
    assert np.array_equal(tree["posterior"]["double"].values[..., 0], 2 * mu.values)
    assert float(mu.mean()) == pytest.approx(X.mean(), abs=0.005)
    assert float(mu.std()) == pytest.approx(SD / len(X) ** 0.5, rel=0.15)
    known = -0.5 * (((X - mu.values[..., None]) / SD) ** 2).sum(-1)
    assert np.allclose(lp.values, known)
    assert tree.attrs["inference"] == "hmc"


def test_a_fit_that_keeps_no_draws_has_no_posterior():
    method = {"name": "hmc", "warmup": 10, "chains": 2}
    assert genprob.fit(DATA, Unknown, inference=method, schema=SCHEMA, steps=4).posterior is None
    assert genprob.fit(DATA, Known, inference="ml", schema=SCHEMA, steps=2).posterior is None
