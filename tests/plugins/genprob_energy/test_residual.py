"""Residual energies against quadrature in the plane: log Z, log p, conditionals of every kind of evidence."""

import numpy as np
import pytest
import torch

import genprob
from genprob.errors import UsageError
from genprob_energy.energy import DeepEnergy
from genprob_energy.residual import ResidualEnergy

GRID = np.linspace(-4.5, 4.5, 181)
STEP = GRID[1] - GRID[0]


@pytest.fixture(scope="module", params=["gaussian", "mixture"])
def joint(request, moons):
    return genprob.fit(moons(), "energy", base=request.param, components=3, inference="nce", steps=250, hidden=(32, 32))


def test_the_network_takes_the_base_further(joint, moons, plane):
    """The base's own held-out nats, and the energy's, by quadrature."""
    test = moons(1000, seed=1)
    rows = torch.as_tensor(np.stack([test["x"], test["y"]], 1))
    _, log_z = plane(joint)
    with torch.no_grad():
        nats = float(joint.model.log_joint(rows).mean()) - log_z
        z = joint.model.encoder.encode(rows)
        base = float((joint.model.base.log_density(z) + joint.model.encoder.log_jacobian(rows).sum(-1)).mean())
    assert nats > base + 0.03


def test_log_z_and_draws_are_those_of_quadrature(joint, plane):
    log_p, log_z = plane(joint)
    found = joint.model.partition()
    assert abs(found.value - log_z) < 5 * found.error + 5e-3 and found.error < 0.05 and found.reliable
    x = joint.sample(4000)["x"].values
    below = np.cumsum(np.exp(log_p).sum(1) * STEP**2)
    for level in (0.1, 0.3, 0.5, 0.7, 0.9):
        at = np.searchsorted(below, level)
        assert abs((x <= GRID[at] + STEP / 2).mean() - below[at]) < 0.08  # a reservoir of 512 draws


@pytest.mark.parametrize("strategy", ["importance", "clamped", "smc"])
def test_conditionals_are_those_of_quadrature(joint, strategy, plane):
    log_p, _ = plane(joint)
    at = int(np.argmin(np.abs(GRID - 1.0)))
    share = np.exp(log_p[at] - np.logaddexp.reduce(log_p[at]))
    mean, square = share @ GRID, share @ GRID**2
    found = joint.query(["y"], {"x": float(GRID[at])}, strategy=strategy, draws=2000)
    y = found["posterior"]["y"].values
    assert abs(y.mean() - mean) < 0.15 * np.sqrt(square - mean**2) + 0.02
    assert y.std() == pytest.approx(np.sqrt(square - mean**2), rel=0.15)
    below = np.cumsum(share)
    for edge in range(40, 140, 10):
        assert abs((y <= GRID[edge] + STEP / 2).mean() - below[edge]) < 0.06
    evidence = np.logaddexp.reduce(log_p[at]) + np.log(STEP)
    error = np.hypot(found.attrs["log_evidence_se"], joint.model.partition().error)
    assert abs(found.attrs["log_evidence"] - evidence) < 5 * error + 0.02


@pytest.mark.parametrize("given, weight", [
    (genprob.Within(0.5, 1.5), lambda x: (x >= 0.5) & (x <= 1.5)),
    (genprob.Soft(1.0, sd=0.3), lambda x: np.exp(-0.5 * ((x - 1) / 0.3) ** 2) / (0.3 * np.sqrt(2 * np.pi))),
])  # fmt: skip
def test_ranges_and_readings_are_weighed(joint, given, weight, plane):
    log_p, _ = plane(joint)
    mass = np.exp(log_p) * weight(GRID)[:, None] * STEP**2
    found = joint.query(["y"], {"x": given}, strategy="importance", budget=4000, draws=2000)
    mean = (mass.sum(0) @ GRID) / mass.sum()
    assert abs(found["posterior"]["y"].values.mean() - mean) < 0.06
    assert abs(found.attrs["log_evidence"] - np.log(mass.sum())) < 5 * found.attrs["log_evidence_se"] + 0.02


def test_holes_are_sampled_while_learning_and_few_rows_make_a_small_base(tmp_path, moons):
    train = moons(100)
    holed = {name: np.where(np.random.default_rng(3).random(100) < 0.2, np.nan, x) for name, x in train.items()}
    joint = genprob.fit(holed, "energy", base="mixture", inference="nce", steps=30, out=tmp_path / "run")
    assert isinstance(joint.model, ResidualEnergy) and len(joint.model.base.mean) == 6
    again = genprob.load(tmp_path / "run")
    row = {"x": [0.5], "y": [0.5]}
    assert float(again.log_prob(row)["log_prob"][0]) == float(joint.log_prob(row)["log_prob"][0])


def test_what_a_base_may_be(moons):
    with pytest.raises(UsageError, match="base='flat': expected normal or gaussian or mixture"):
        genprob.fit(moons(50), "energy", base="flat", steps=0)
    with pytest.raises(UsageError, match="components=0"):
        genprob.fit(moons(50), "energy", base="mixture", components=0, steps=0)
    assert type(genprob.fit(moons(50), "energy", steps=0).model) is DeepEnergy
