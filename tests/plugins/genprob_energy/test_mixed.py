"""Energies of mixed tables against quadrature times enumeration: log Z, log p, draws, conditionals, the gradient."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.engine.kernels import sample
from genprob.errors import UsageError
from genprob.metrics.partition import anneal
from genprob.testing.tables import mixed, reals
from genprob_energy.alternating import Alternating
from genprob_energy.energy import DeepEnergy
from genprob_energy.mixed import MixedEnergy

GRID = np.linspace(-9, 9, 1201)
STEP = GRID[1] - GRID[0]
K, B = ("p", "q", "r"), (0, 1)
BUDGET = {"clamped": {}, "importance": {"budget": 2000}}
LEARNED = {
    "binary": {"name": "nce", "lr": 1e-2},
    "interval(0,1)": {"name": "replay", "lr": 1e-2, "k": 4, "chains": 128, "buffer": 1024},
}
STRATEGY = {"binary": "importance", "interval(0,1)": "clamped"}


def table(rows=2000, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 3, rows)
    b = rng.random(rows) < np.array([0.2, 0.8, 0.5])[k]
    x = np.array([-2.0, 0.3, 2.0])[k] * np.where(b, 1, -0.5) + 0.4 * rng.normal(size=rows)
    return {"x": x, "k": np.array(K, dtype=object)[k], "b": b}


def law(joint):
    """log p on grid x levels of k x b, `[x, 3, 2]`, straight from the energy; and log Z."""
    values = np.stack(np.meshgrid(GRID, np.arange(3), np.arange(2), indexing="ij"), -1)
    order = [("x", "k", "b").index(v.name) for v in joint.schema.columns]
    with torch.no_grad():
        log_mass = joint.model.log_joint(torch.as_tensor(values[..., order])).numpy()
    log_z = np.logaddexp.reduce(log_mass.ravel()) + np.log(STEP)
    return log_mass - log_z, log_z


@pytest.fixture(scope="module")
def joint():
    return genprob.fit(table(), "energy", inference={"name": "nce", "lr": 1e-2}, steps=200, hidden=(32, 32))


def test_log_z_and_whole_rows_are_those_of_quadrature_and_enumeration(joint):
    log_p, log_z = law(joint)
    found = joint.model.partition()
    assert found.kind == "estimate" and found.reliable and found.error < 0.05
    assert abs(found.value - log_z) < 5 * found.error + 5e-3
    rows = table(300, seed=1)
    scored = joint.log_prob(rows)
    at = np.abs(rows["x"][:, None] - GRID).argmin(1)
    near = log_p[at, [K.index(k) for k in rows["k"]], rows["b"].astype(int)]
    assert float(np.abs(scored["log_prob"].values + found.value - log_z - near).max()) < 0.15  # of a grid's half step
    nats = scored["log_prob"].values.mean() + found.value - log_z
    assert nats > -2.32  # the truth: -2.17; independent columns: -3.6


def test_the_base_is_normalised_and_its_share_of_log_z_is_counted(joint):
    """Without the network log Z is 0: wide normal and frequencies are a law."""
    model = joint.model
    x, k, b = (torch.as_tensor(a) for a in np.meshgrid(GRID * 2, np.arange(3), np.arange(2), indexing="ij"))
    columns = {"x": x, "k": k, "b": b}
    points = torch.stack([columns[v.name].float() for v in joint.schema.columns], -1)
    base = model.law_of_points.base.log_density(model.units.features(points)).detach().double().numpy()
    assert np.logaddexp.reduce(base.ravel()) + np.log(2 * STEP) == pytest.approx(0, abs=1e-3)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        path = model.free_path(64)
        weight, _ = anneal(path, [0.0, 1e-9])
    assert float(weight.abs().max()) < 1e-6


def test_draws_are_those_of_the_energy(joint):
    log_p, _ = law(joint)
    drawn = joint.sample(4000)
    share = np.exp(log_p).sum(0) * STEP
    for i, k in enumerate(K):
        for b in B:
            found = float(((drawn["k"].values == k) & (drawn["b"].values == b)).mean())
            assert abs(found - share[i, b]) < 0.06  # a reservoir of 512 draws
    below = np.cumsum(np.exp(log_p).sum((1, 2)) * STEP)
    for level in (0.1, 0.3, 0.5, 0.7, 0.9):
        at = np.searchsorted(below, level)
        assert abs((drawn["x"].values <= GRID[at] + STEP / 2).mean() - below[at]) < 0.08


def at(level, levels):
    return np.array([float(one == level) for one in levels])


WITHIN, FAR = (GRID >= -1) & (GRID <= 0.5), (GRID >= 2.5) & (GRID <= 4)
ALL = np.ones((len(GRID), 3, 2))
GIVEN = {  # evidence and its weight, to a density where it is a point
    "a point": ({"x": 0.0}, ALL * (np.abs(GRID) < STEP / 2)[:, None, None] / STEP),
    "a level": ({"k": "q"}, ALL * at("q", K)[:, None]),
    "a set": ({"k": genprob.OneOf("p", "r")}, ALL * (1 - at("q", K))[:, None]),
    "a label and a range": ({"b": 1, "x": genprob.Within(-1, 0.5)}, ALL * WITHIN[:, None, None] * at(1, B)),
    "a range far out": ({"x": genprob.Within(2.5, 4)}, ALL * FAR[:, None, None]),
    "a likelihood": ({"k": genprob.Soft({"p": 0.1, "q": 0.6, "r": 0.3})}, ALL * np.array([0.1, 0.6, 0.3])[:, None]),
}


@pytest.mark.parametrize(
    "name, strategy",
    [*((name, "importance") for name in GIVEN), ("a point", "clamped"), ("a label and a range", "clamped")],
)
def test_conditionals_of_every_kind_are_those_of_quadrature_and_enumeration(joint, name, strategy):
    given, weight = GIVEN[name]
    mass = np.exp(law(joint)[0]) * STEP * weight
    asked = [v for v in ("x", "k", "b") if v not in given]
    found = joint.query(asked, given, strategy=strategy, draws=2000, **BUDGET[strategy])
    error = np.hypot(found.attrs["log_evidence_se"], joint.model.partition().error)
    assert abs(found.attrs["log_evidence"] - np.log(mass.sum())) < 5 * error + 0.03
    share, posterior = mass / mass.sum(), found["posterior"]
    for i, k in enumerate(K if "k" in asked else ()):
        assert float((posterior["k"].values == k).mean()) == pytest.approx(share[:, i].sum(), abs=0.06)
    if "b" in asked:
        assert float(posterior["b"].values.mean()) == pytest.approx(share[..., 1].sum(), abs=0.06)
    if "x" in asked:
        below = np.cumsum(share.sum((1, 2)))
        for level in (0.1, 0.3, 0.5, 0.7, 0.9):
            edge = np.searchsorted(below, level)
            assert abs((posterior["x"].values <= GRID[edge] + STEP / 2).mean() - below[edge]) < 0.06


def test_what_is_known_of_a_row_has_the_marginal_density(joint):
    log_p, _ = law(joint)
    cut = np.arange(450, 800, 50)
    found = joint.log_prob({"x": GRID[cut], "k": ["q"] * len(cut)})
    error = np.hypot(found["standard_error"].values, found.attrs["log_partition_se"])
    truth = np.logaddexp.reduce(log_p[cut][:, 1], axis=1)
    assert (np.abs(found["log_prob"].values - truth) < 5 * error + 0.02).all() and error.max() < 0.3
    labels = joint.log_prob({"k": list(K)})
    error = np.hypot(labels["standard_error"].values, labels.attrs["log_partition_se"])
    truth = np.logaddexp.reduce(log_p, axis=(0, 2)) + np.log(STEP)
    assert (np.abs(labels["log_prob"].values - truth) < 5 * error + 0.02).all()


def test_the_gradient_of_the_likelihood_is_that_of_two_phases(joint):
    """Mean slope over rows less that over the kernel's own points, against autograd of the exact log-likelihood."""
    model, rows = joint.model, table(400, seed=2)
    values = np.stack(np.meshgrid(GRID, np.arange(3), np.arange(2), indexing="ij"), -1).reshape(-1, 3)
    order = [("x", "k", "b").index(v.name) for v in joint.schema.columns]
    seen = np.stack([rows["x"], [K.index(k) for k in rows["k"]], rows["b"]], -1).astype(float)
    weight = model.net[0].weight

    def slope(value):
        return torch.autograd.grad(value, weight)[0].flatten()

    free = torch.logsumexp(model.log_joint(torch.as_tensor(values[:, order])), 0) + np.log(STEP)
    exact = slope(model.log_joint(torch.as_tensor(seen[:, order])).mean() - free)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kernel = model.markov_kernel()
        draws, told = sample(kernel, model.draw_noise(1000), warmup=100, draws=20)
    assert 0.6 < float(told["acceptance"].mean()) < 0.95 and float(told["moved"].mean()) > 0.02
    own = model.energy(draws.flatten(0, 1)).mean()
    positive = -model.log_joint(torch.as_tensor(seen[:, order])).mean()
    found = slope(own - positive)
    assert float(torch.nn.functional.cosine_similarity(exact, found, 0)) > 0.9


def test_tempered_chains_keep_the_law(joint):
    log_p, _ = law(joint)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws, told = sample(joint.model.tempered_kernel(4), joint.model.draw_noise(300), warmup=100, draws=60)
    rows = joint.model.rows(draws[20:].flatten(0, 1))
    j = [v.name for v in joint.schema.columns].index("k")
    share = np.exp(log_p).sum((0, 2)) * STEP
    assert [float((rows[:, j] == i).mean()) for i in range(3)] == pytest.approx(share.tolist(), abs=0.05)
    assert float(told["swapped"].mean()) > 0.2


@pytest.mark.parametrize("inference, steps", [("replay", 150), ("pcd", 250)])
def test_chains_learn_and_holes_are_sampled(inference, steps):
    train = table(1000)
    hole = np.random.default_rng(3).random((1000, 2)) < 0.15
    holed = {
        "x": np.where(hole[:, 0], np.nan, train["x"]),
        "k": np.where(hole[:, 1], None, train["k"]),
        "b": train["b"],
    }
    options = {"name": inference, "lr": 1e-2, "chains": 128} | (
        {"buffer": 1024, "k": 4} if inference == "replay" else {}
    )
    joint = genprob.fit(holed, "energy", inference=options, steps=steps, hidden=(32, 32), chains=64, temperatures=50)
    assert float(joint.log_prob(table(300, seed=1))["log_prob"].mean()) > -2.75  # independent columns: -3.6


def test_cells_positives_and_other_strategies_agree():
    """Rounded reals and a positive beside labels: the generic annealing of the joint density says the same."""
    data = mixed().drop_vars(["visits", "x"])
    joint = genprob.fit(data, "energy", inference="nce", steps=100, hidden=(16,), chains=128, temperatures=60)
    found = {
        name: joint.query(["member"], {"colour": "red", "age": genprob.Within(40, 50)}, strategy=name, draws=2000)
        for name in ("clamped", "importance", "smc")
    }
    shares = [float(one["posterior"]["member"].values.mean()) for one in found.values()]
    assert max(shares) - min(shares) < 0.08
    logs = [float(one.attrs["log_evidence"]) for one in found.values()]
    assert max(logs) - min(logs) < 0.25


def test_the_step_size_of_replay_reaches_the_kernel(monkeypatch):
    seen, step = [], Alternating.step

    def spied(kernel, position, memory):
        seen.append(kernel.size)
        return step(kernel, position, memory)

    monkeypatch.setattr(Alternating, "step", spied)
    options = {"name": "replay", "size": 0.07, "k": 2, "chains": 32, "buffer": 32}
    genprob.fit(table(100), "energy", inference=options, steps=2, hidden=(4,), chains=256, temperatures=5)
    assert seen[:4] == [0.07] * 4


def test_a_run_is_loaded_as_it_was(tmp_path):
    joint = genprob.fit(table(200), "energy", inference="nce", steps=20, hidden=(8,), out=tmp_path / "run")
    again, rows = genprob.load(tmp_path / "run"), table(5, seed=1)
    assert isinstance(again.model, MixedEnergy)
    np.testing.assert_array_equal(again.log_prob(rows)["log_prob"].values, joint.log_prob(rows)["log_prob"].values)


def test_a_table_of_labels_alone_is_taken():
    data = {"k": table(400)["k"], "b": table(400)["b"]}
    joint = genprob.fit(data, "energy", inference="pcd", steps=150, hidden=(16,), chains=64, temperatures=30)
    rows = {"k": np.repeat(K, 2), "b": np.tile(B, 3)}
    total = np.exp(joint.log_prob(rows)["log_prob"].values).sum()
    assert total == pytest.approx(1, abs=1e-5) and joint.model.partition().kind == "exact"


def test_what_is_taken_and_what_is_not():
    assert type(genprob.fit(reals(), "energy", steps=0).model) is DeepEnergy
    with pytest.raises(UsageError, match="variable 'visits' is a count: energy takes binary, categorical, real"):
        genprob.fit(mixed(), "energy", steps=0)
    with pytest.raises(UsageError, match="a fitted base takes real, positive and interval variables"):
        genprob.fit(table(50), "energy", base="mixture", steps=0)
    with pytest.raises(UsageError, match=r"inference 'dsm' needs .* MixedEnergy has not"):
        genprob.fit(table(50), "energy", inference="dsm", steps=1)
    for option in ({"kernel": "langevin"}, {"noise": 0.1}):
        with pytest.raises(UsageError, match="MixedEnergy has labels"):
            genprob.fit(table(50), "energy", inference={"name": "replay", **option}, steps=1)
    with pytest.raises(UsageError, match="not held to readings of reals"):
        joint = genprob.fit(table(50), "energy", inference="nce", steps=1, hidden=(4,), chains=256, temperatures=10)
        joint.query(["k"], {"x": genprob.Soft(0.0, sd=1.0)}, strategy="clamped")


@pytest.mark.parametrize("kind", ["interval(0,1)", "binary"])
def test_images_are_learned_drawn_and_completed(kind):
    """Bars of 4 x 4, upright or level: the lower half is of the bars that the upper half shows."""
    rng = np.random.default_rng(0)
    upright, place = rng.random(600) < 0.5, rng.integers(0, 4, 600)
    bars = np.zeros((600, 4, 4))
    for row in range(600):
        bars[row][(slice(None), place[row]) if upright[row] else (place[row], slice(None))] = 1
    image = bars if kind == "binary" else 0.3 + 0.4 * bars + 0.07 * rng.normal(size=bars.shape)
    data = xr.Dataset({"image": (("row", "y", "x"), image.astype(int) if kind == "binary" else image)})
    joint = genprob.fit(
        data, "energy", schema={"image": kind}, inference=LEARNED[kind], steps=300, hidden=(32,),
        chains=64, temperatures=60,
    )  # fmt: skip
    assert isinstance(joint.model, MixedEnergy if kind == "binary" else DeepEnergy)
    assert joint.sample(20)["image"].shape == (20, 4, 4)
    mask, known = np.zeros((4, 4), bool), image[upright & (place == 1)][0]
    mask[:2] = True
    found = joint.query(["image"], {"image": genprob.Masked(known, mask)}, draws=200, strategy=STRATEGY[kind])
    lower = found["posterior"]["image"].values.reshape(-1, 4, 4)[:, 2:].mean((0, 1))
    assert lower[1] > lower[[0, 2, 3]].max() + 0.15
