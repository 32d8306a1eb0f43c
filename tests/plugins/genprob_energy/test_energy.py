"""Deep energies against quadrature in the plane: log Z, log p, marginals, conditionals; bad energies are told."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob import Masked
from genprob.engine.kernels import HMC, Langevin
from genprob.errors import Diverged, PluginError, UsageError
from genprob.testing.tables import mixed
from genprob_energy.energy import DeepEnergy

GRID = np.linspace(-4.5, 4.5, 181)
STEP = GRID[1] - GRID[0]


def ring(rows=2000, seed=0):
    rng = np.random.default_rng(seed)
    angle, radius = rng.random(rows) * 2 * np.pi, 2 + 0.3 * rng.normal(size=rows)
    return {"x": radius * np.cos(angle), "y": radius * np.sin(angle)}


def eight(rows=2000, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.integers(0, 8, rows) * np.pi / 4
    return {"x": 2 * np.cos(angle) + 0.3 * rng.normal(size=rows), "y": 2 * np.sin(angle) + 0.3 * rng.normal(size=rows)}


@pytest.fixture(scope="module", params=["ring", "eight", "moons"])
def joint(request, moons):
    rows = {"ring": ring, "eight": eight, "moons": moons}[request.param]()
    return genprob.fit(rows, DeepEnergy, inference={"name": "nce", "lr": 1e-2}, steps=250, hidden=(32, 32))


def test_log_partition_is_that_of_quadrature(joint, plane):
    found, (_, truth) = joint.model.partition(), plane(joint)
    assert found.kind == "estimate" and not found.interval and found.reliable
    assert abs(found.value - truth) < 5 * found.error + 5e-3
    assert found.error < 0.1 and found.optimistic == pytest.approx(found.conservative, abs=0.3)


def test_what_is_known_of_a_row_has_the_marginal_density(joint, plane):
    log_p, log_z = plane(joint)
    marginal = np.logaddexp.reduce(log_p, axis=1) + np.log(STEP)
    at = np.arange(60, 121, 10)
    found = joint.log_prob({"x": GRID[at]})
    error = np.hypot(found["standard_error"].values, found.attrs["log_partition_se"])
    assert (np.abs(found["log_prob"].values - marginal[at]) < 5 * error + 0.01).all() and error.max() < 0.3
    whole = joint.log_prob({"x": GRID[at], "y": GRID[at]})
    shared = joint.model.partition().value - log_z
    np.testing.assert_allclose(whole["log_prob"].values + shared, log_p[at, at], atol=1e-4)


def test_draws_are_those_of_the_energy(joint, plane):
    log_p, _ = plane(joint)
    drawn = joint.sample(4000)
    for name, axis in (("x", 1), ("y", 0)):
        mass = np.exp(log_p).sum(axis) * STEP**2
        below = np.cumsum(mass)
        for level in (0.1, 0.3, 0.5, 0.7, 0.9):
            edge = GRID[np.searchsorted(below, level)] + STEP / 2
            wanted = mass[edge >= GRID].sum()
            assert abs(float((drawn[name] <= edge).mean()) - wanted) < 0.08  # a reservoir of 512 draws


def test_short_chains_near_the_law_of_the_energy_if_they_may_be_refused(joint):
    """Total variation over 12 x 12 cells of 4,000 chains begun at N(0, 1), beside that of exact draws."""
    at = (torch.arange(96) + 0.5) / 16 - 3
    with torch.no_grad():
        log_mass = -joint.model.energy(torch.cartesian_prod(at, at)).double()
    law = torch.softmax(log_mass, 0).reshape(12, 8, 12, 8).sum((1, 3)).numpy()

    def off(points):
        edges = np.linspace(-3, 3, 13)
        return 0.5 * np.abs(np.histogram2d(*points.numpy().T, bins=(edges, edges))[0] / len(points) - law).sum()

    exact = np.random.default_rng(0).multinomial(4000, law.ravel() / law.sum()).reshape(law.shape) / 4000
    noise = 0.5 * np.abs(exact - law).sum()
    found = {}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for kernel in (HMC(lambda x: -joint.model.energy(x), 3, mass="unit", size=0.3),
                       Langevin(lambda x: -joint.model.energy(x), 0.6)):  # fmt: skip
            position = torch.randn(4000, 2)
            memory, found[type(kernel)] = kernel.init(position), []
            for steps in (1, 80):
                for _ in range(steps):
                    position, memory, _ = kernel.step(position, memory)
                found[type(kernel)].append(off(position))
    assert found[HMC][1] < noise + 0.03 < found[HMC][0]
    assert found[Langevin][1] > noise + 0.05


def test_conditionals_are_those_of_quadrature_whatever_answers(moons, plane):
    joint = genprob.fit(moons(), DeepEnergy, inference={"name": "nce", "lr": 1e-2}, steps=250, hidden=(32, 32))
    log_p, _ = plane(joint)
    at = int(np.argmin(np.abs(GRID - 1.0)))
    share = np.exp(log_p[at] - np.logaddexp.reduce(log_p[at]))
    mean, square = share @ GRID, share @ GRID**2
    evidence = np.logaddexp.reduce(log_p[at]) + np.log(STEP)
    for strategy in ("clamped", "smc"):
        found = joint.query(["y"], {"x": float(GRID[at])}, strategy=strategy, draws=2000)
        y = found["posterior"]["y"].values
        assert abs(y.mean() - mean) < 0.15 * np.sqrt(square - mean**2) + 0.02
        assert y.std() == pytest.approx(np.sqrt(square - mean**2), rel=0.2)
        error = np.hypot(found.attrs["log_evidence_se"], joint.model.partition().error)
        assert abs(found.attrs["log_evidence"] - evidence) < 5 * error + 0.02


def test_every_inference_learns_the_ring(plane):
    """Held-out nats, exact by quadrature, against one Gaussian's."""
    train, test = ring(), ring(500, seed=1)
    rows = np.stack([test["x"], test["y"]], 1)
    gaussian = 0.5 * np.log(np.linalg.det(np.cov(rows.T))) + np.log(2 * np.pi) + 1
    options = {
        "replay": {"steps": 250, "lr": 1e-2, "k": 5, "chains": 128, "buffer": 1024},
        "pcd": {"steps": 250, "lr": 1e-2},
        "nce": {"steps": 250, "lr": 1e-2},
        "dsm": {"steps": 400, "lr": 1e-2, "least": 0.2, "most": 0.2},
    }
    for name, given in options.items():
        steps = given.pop("steps")
        joint = genprob.fit(train, DeepEnergy, inference={"name": name, **given}, steps=steps, hidden=(32, 32))
        _, log_z = plane(joint)
        with torch.no_grad():
            nats = log_z - joint.model.log_joint(torch.as_tensor(rows)).numpy().mean()
        assert nats < gaussian - 0.25, name


def test_holes_are_sampled_while_learning(plane):
    train = ring()
    holed = {name: np.where(np.random.default_rng(3).random(2000) < 0.2, np.nan, x) for name, x in train.items()}
    joint = genprob.fit(holed, DeepEnergy, inference={"name": "nce", "lr": 1e-2}, steps=200, hidden=(32, 32))
    _, log_z = plane(joint)
    rows = torch.as_tensor(np.stack([train["x"], train["y"]], 1))
    with torch.no_grad():
        nats = log_z - joint.model.log_joint(rows).numpy().mean()
    assert nats < 3.1  # one Gaussian: 3.55


def test_categories_are_refused_with_what_is_taken():
    with pytest.raises(UsageError, match="a fitted base takes real, positive and interval variables"):
        genprob.fit(mixed().drop_vars("visits"), DeepEnergy, steps=0)


class NoNumber(DeepEnergy):
    """An energy that is no number."""

    def energy(self, points):
        return super().energy(points) * torch.nan


class WrongShape(DeepEnergy):
    """An energy with a number too many."""

    def energy(self, points):
        return super().energy(points)[..., None]


@pytest.mark.parametrize("inference", ["replay", "pcd", "nce"])
def test_energies_that_are_no_numbers_or_of_the_wrong_shape_are_named(inference):
    with pytest.raises(PluginError, match=r"NoNumber.energy is no finite number at \d+ of the first"):
        genprob.fit(ring(50), NoNumber, inference=inference, steps=2)
    with pytest.raises(PluginError, match=r"WrongShape.energy returned the shape \(\d+, 1\) for"):
        genprob.fit(ring(50), WrongShape, inference=inference, steps=2)


class WrongScore(DeepEnergy):
    """A score that is summed over points, or no number."""

    broken = "shape"

    def score(self, points, noise):
        found = super().score(points, noise)
        return found.sum(0) if self.broken == "shape" else found * torch.nan


def test_scores_that_are_no_numbers_or_of_the_wrong_shape_are_named(monkeypatch):
    inference = {"name": "dsm", "least": 0.2, "most": 0.2}
    with pytest.raises(PluginError, match=r"WrongScore.score returned the shape \(2,\) for points \(50, 2\)"):
        genprob.fit(ring(50), WrongScore, inference=inference, steps=2)
    monkeypatch.setattr(WrongScore, "broken", "number")
    with pytest.raises(PluginError, match=r"WrongScore.score is no finite number at 50 of the first 50 rows"):
        genprob.fit(ring(50), WrongScore, inference=inference, steps=2)


def test_chains_that_explode_are_told(tmp_path):
    with pytest.raises(Diverged, match="last good checkpoint is kept"):
        genprob.fit(
            ring(200), DeepEnergy, steps=200, out=tmp_path / "run",
            inference={"name": "replay", "kernel": "langevin", "size": 40.0, "k": 40},
        )  # fmt: skip
    assert genprob.load(tmp_path / "run").run is not None


def test_one_noise_is_asked_of_score_matching():
    with pytest.raises(UsageError, match="give least and most the same value"):
        genprob.fit(ring(50), DeepEnergy, inference="dsm", steps=2)


def test_convolutions_over_an_image_are_scored_and_asked_as_quadrature_says(plane):
    rows = ring()
    image = np.stack([rows["x"] + 1, rows["y"]], 1)[:, None]
    data = xr.Dataset({"image": (("row", "h", "w"), image)})
    options = {"network": "conv", "channels": 8, "hidden": (32,), "inference": {"name": "nce", "lr": 1e-2}}
    joint = genprob.fit(data, "energy", steps=300, **options)
    log_p, log_z = plane(joint)
    found = joint.model.partition()
    assert abs(found.value - log_z) < 5 * found.error + 5e-3 and found.error < 0.1
    i = int(np.argmin(np.abs(GRID - 2)))
    p = np.exp(log_p[i] - log_p[i].max())
    answer = joint.query(["image"], {"image": Masked([[GRID[i], 0.0]], [[True, False]])}, draws=2000)
    drawn = answer["posterior"]["image"].values.reshape(-1, 2)
    assert (drawn[:, 0] == GRID[i]).all()
    spread = np.sqrt((p * GRID**2).sum() / p.sum() - ((p * GRID).sum() / p.sum()) ** 2)
    error = 5 * spread / np.sqrt(answer.attrs["ess"])
    assert spread > 1 and drawn[:, 1].mean() == pytest.approx((p * GRID).sum() / p.sum(), abs=error)
    assert np.square(drawn[:, 1]).mean() == pytest.approx((p * GRID**2).sum() / p.sum(), abs=3 * error)


def test_convolutions_are_over_images_of_reals():
    for data, options in (
        (ring(50), {}),
        ({"image": np.zeros((9, 2, 2)) + np.eye(2)}, {}),
        ({"image": np.random.default_rng(0).normal(size=(50, 2, 2))}, {"base": "gaussian"}),
    ):
        with pytest.raises(UsageError, match="network=conv"):
            genprob.fit(data, "energy", network="conv", **options)
