"""Flows: densities that integrate to one, conditionals as quadrature says, known laws recovered."""

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Count, Interval, Positive, Real
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob_flow.boxes import Boxes
from genprob_flow.flow import Flow

PAIR = Schema((Variable("x", Real()), Variable("p", Positive())))
CELLS = Schema((Variable("x", Real()), Variable("c", Real(), Cell(0.5))))
TRANSFORMS = ["spline", "affine", "coupling"]


def data_of(schema, n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 2, n)
    y = 0.7 * x + rng.normal(size=n)
    second = schema.columns[1]
    if isinstance(second.support, Positive):
        y = np.exp(0.4 * y)
    return np.stack([x, y if second.cell is None else second.cell.snap(y)], 1)


def joint_of(schema=PAIR, *, noise=0.3, seed=0, **options) -> Joint:
    """A joint of a flow whose weights are shaken instead of learned."""
    values = torch.as_tensor(data_of(schema))
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(values)), len(values))
    with running(Randomness(seed)), torch.no_grad():
        model = Flow(schema, **{"hidden": (16,), "layers": 2, "components": 4} | options)
        model.prepare(batch, seed=seed)
        for parameter in model.net.parameters():
            parameter += noise * torch.randn_like(parameter)
    return Joint(schema, model.eval(), run=None, reference=batch, rows=len(values))


def grid(joint, points=400):
    """Points of both columns that hold nearly all mass, each point's area, and its density."""
    drawn = joint.sample(20_000, seed=1)
    first = drawn["x"].values
    x = np.linspace(first.min() - 3, first.max() + 3, points)
    second = drawn["p"].values
    u = np.linspace(np.log(second.min()) - 2, np.log(second.max()) + 2, points)  # evenly spaced in the log
    at, other = np.meshgrid(x, np.exp(u), indexing="ij")
    area = (x[1] - x[0]) * (u[1] - u[0]) * other
    with torch.no_grad():
        density = joint.model.log_joint(torch.as_tensor(np.stack([at.ravel(), other.ravel()], 1))).exp().numpy()
    return at, other, density.reshape(at.shape) * area


@pytest.mark.parametrize("encoding", ["support", "yeo-johnson"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_densities_integrate_to_one(transform, encoding):
    joint = joint_of(transform=transform, encoding=encoding)
    assert grid(joint)[2].sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_log_determinant_is_that_of_autograd_and_the_inverse_inverts(transform):
    model = joint_of(transform=transform).model.double()
    x = torch.as_tensor(data_of(PAIR)[:20])
    flow = model.net()

    def base(row):
        return flow.transform(model.encoder.encode(row))

    jacobian = torch.stack([torch.autograd.functional.jacobian(base, row) for row in x])
    log_p = flow.base.log_prob(base(x)) + torch.linalg.slogdet(jacobian).logabsdet
    found = flow.log_prob(model.encoder.encode(x)) + model.encoder.log_jacobian(x).sum(1)
    assert found.detach().numpy() == pytest.approx(log_p.detach().numpy(), abs=1e-8)
    back = model.encoder.decode(flow.transform.inv(base(x)))
    assert back.detach().numpy() == pytest.approx(x.numpy(), abs=1e-5)


def test_log_prob_is_exact_and_draws_follow_it():
    joint = joint_of()
    at, other, mass = grid(joint)
    drawn = joint.sample(20_000, seed=2)
    for lo, hi in ((-1.0, 1.0), (1.0, 3.0)):
        inside = ((drawn["x"] > lo) & (drawn["x"] < hi) & (drawn["p"] < 1.5)).values.mean()
        assert mass[(at > lo) & (at < hi) & (other < 1.5)].sum() == pytest.approx(inside, abs=0.02)
    scored = joint.log_prob({"x": [0.5, 1.0], "p": [1.0, 2.0]})
    assert scored.attrs["kind"] == "exact" and not scored["standard_error"].values.any()


EVIDENCE = [
    {"x": 0.7},
    {"p": 1.4},
    {"x": genprob.Within(0.0, 1.5)},
    {"x": genprob.Within(2.0, None)},
    {"p": genprob.Within(None, 1.0)},
    {"x": genprob.Soft(0.5, sd=0.8)},
    {"p": genprob.Soft(1.5, sd=0.4), "x": genprob.Within(-1.0, 2.0)},
]


@pytest.mark.parametrize("given", EVIDENCE, ids=str)
def test_every_kind_of_evidence_is_answered_as_quadrature_says(given):
    joint = joint_of()
    if not isinstance(value := next(iter(given.values())), (genprob.Within, genprob.Soft)):  # a line of the density
        name, other = ("x", "p") if "x" in given else ("p", "x")
        second = np.linspace(1e-3, 60, 60_000) if other == "p" else np.linspace(-25, 25, 20_000)
        rows = {name: np.full(len(second), value), other: second}
        density = np.exp(joint.log_prob(rows)["log_prob"].values)
        mass = density * (second[1] - second[0])
        truth, target, at = np.log(mass.sum()), other, second
    else:
        x, p, mass = grid(joint)
        for name, evidence in given.items():
            value = x if name == "x" else p
            if isinstance(evidence, genprob.Soft):
                z = (evidence.value - value) / evidence.sd
                mass = mass * np.exp(-0.5 * z**2) / evidence.sd / np.sqrt(2 * np.pi)
            else:
                lo = -np.inf if evidence.lo is None else evidence.lo
                hi = np.inf if evidence.hi is None else evidence.hi
                mass = mass * ((value >= lo) & (value <= hi))
        truth, target, at = np.log(mass.sum()), "p" if "x" in given else "x", p if "x" in given else x
        mass, at = mass.ravel(), at.ravel()
    share = mass / mass.sum()
    mean, sd = (share * at).sum(), np.sqrt((share * at**2).sum() - (share * at).sum() ** 2)
    queries = QueryBatch.from_evidence(PAIR, [given])
    with running(Randomness(1)):
        cloud = joint.model.propose(queries, 20_000)
    weight = cloud.log_weight.numpy()
    error = np.sqrt((np.exp(2 * (weight - np.logaddexp.reduce(weight[0])))).sum())
    assert error < 0.1
    assert np.logaddexp.reduce(weight[0]) == pytest.approx(truth, abs=5 * error + 0.02)
    marginal = cloud.marginals((target,))[target]
    assert marginal.mean[0] == pytest.approx(mean, abs=5 * error * sd + 0.03 * sd)


def test_rounded_reals_have_probabilities_that_add_up_to_one():
    joint = joint_of(CELLS, noise=0.1)
    c = np.arange(-80, 80) * 0.5
    x = np.linspace(-15, 17, 300)
    at, cell = np.meshgrid(x, c, indexing="ij")
    rows = torch.as_tensor(np.stack([at.ravel(), cell.ravel()], 1))
    with torch.no_grad():
        mass = joint.model.log_joint(rows).exp().numpy() * (x[1] - x[0])
        assert mass.sum() == pytest.approx(1, abs=0.02)
        fine = np.linspace(0.75, 1.25, 4001)  # the cell of 1.0
        z = joint.model.encoder.encode(torch.as_tensor(np.stack([np.full(4001, 0.3), fine], 1)))
        density = joint.model.log_flow(z) + joint.model.encoder.log_jacobian(torch.ones(1, 2)).sum()
    truth = np.log(np.trapezoid(density.exp().numpy(), fine))
    scored = joint.log_prob({"x": [0.3], "c": [1.0]})
    assert scored.attrs["kind"] == "estimate"
    assert scored["log_prob"].values[0] == pytest.approx(truth, abs=5 * scored["standard_error"].values[0] + 1e-3)
    found = joint.model.log_joint(torch.tensor([[0.3, 1.0]], dtype=torch.float64)).item()
    assert found == pytest.approx(truth, abs=0.02)
    values = torch.tensor([[0.3, 1.0]], dtype=torch.float64).repeat(4000, 1)
    batch = Batch(CELLS, values, torch.ones_like(values, dtype=torch.bool), torch.arange(4000), 4000)
    torch.manual_seed(0)
    bound = joint.model.log_density(batch).detach().numpy()
    assert bound.mean() <= truth + 1e-3
    assert np.exp(bound).mean() == pytest.approx(np.exp(truth), rel=0.02)  # its mean on the other scale is exact


def test_draws_of_rounded_reals_are_table_values_and_sets_are_answered():
    joint = joint_of(CELLS, noise=0.1)
    drawn = joint.sample(500, seed=0)["c"].values
    assert np.array_equal(np.round(drawn / 0.5) * 0.5, drawn)
    evidence = {"c": genprob.OneOf(0.5, 2.0)}
    answer = joint.query(["x"], evidence, draws=400)
    cloud = joint.model.propose(QueryBatch.from_evidence(CELLS, [evidence]), 500)
    assert set(np.unique(cloud.values[..., 1])) == {0.5, 2.0}
    both = [joint.log_prob({"c": [v]})["log_prob"].values[0] for v in (0.5, 2.0)]
    assert answer.attrs["log_evidence"] == pytest.approx(np.logaddexp(*both), abs=0.2)


def test_holes_are_summed_out_in_training():
    joint = joint_of(noise=0.1, completions=30_000)
    model = joint.model
    values = torch.tensor([[0.4, 1.0], [1.0, 1.7]], dtype=torch.float64)
    known = torch.tensor([[True, False], [False, True]])
    batch = Batch(PAIR, values, known, torch.arange(2), 2)
    torch.manual_seed(0)
    found = model.log_density(batch)
    p, x = np.linspace(1e-3, 40, 20_000), np.linspace(-25, 25, 20_000)
    truth = []
    for rows, step in ((np.stack([np.full_like(p, 0.4), p], 1), p[1] - p[0]),
                       (np.stack([x, np.full_like(x, 1.7)], 1), x[1] - x[0])):  # fmt: skip
        truth.append(torch.logsumexp(model.log_joint(torch.as_tensor(rows)), 0) + np.log(step))
    truth = torch.stack(truth)
    assert found.detach().numpy() == pytest.approx(truth.detach().numpy(), abs=0.05)
    slopes = [torch.autograd.grad(v.sum(), list(model.net.parameters())) for v in (truth, found)]
    flat = [torch.cat([g.flatten() for g in slope]) for slope in slopes]
    assert (flat[0] - flat[1]).norm() < 0.1 * flat[0].norm()


def test_a_gaussian_with_holes_is_recovered():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1500)
    y = 0.8 * x + 0.6 * rng.normal(size=1500)
    y[rng.random(1500) < 0.2] = np.nan
    joint = genprob.fit({"x": x, "y": y}, Flow, steps=400, hidden=(16,), layers=2, completions=4)
    marginals = joint.query(["y"], {"x": 1.0}, draws=500)["marginals"]
    assert float(marginals["y_mean"]) == pytest.approx(0.8, abs=0.15)
    assert float(marginals["y_sd"]) == pytest.approx(0.6, abs=0.12)


def test_two_moons_are_recovered():
    from sklearn.datasets import make_moons

    def moons(n, seed):
        rows, _ = make_moons(n, noise=0.1, random_state=seed)
        return {"x": rows[:, 0], "y": rows[:, 1]}

    joint = genprob.fit(moons(2000, 0), Flow, steps=250, hidden=(32,), layers=3)
    score = joint.log_prob(moons(500, 1))["log_prob"].values.mean()
    rows = np.stack(list(moons(500, 1).values()), 1)
    gaussian = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(rows.T))[1]
    assert score > gaussian + 0.6
    answer = joint.query(["y"], {"x": 0.5}, draws=2000)
    y = answer["posterior"]["y"].values.ravel()
    assert ((y > 0.6) & (y < 1.2)).mean() > 0.3 and ((y > -0.7) & (y < -0.1)).mean() > 0.3  # both moons


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": [1.0, 2.0, 3.5], "g": ["a", "b", "a"]}, "'g' is categorical: a flow is a density of reals.*mixture"),
        ({"x": [1.0, 2.0, 3.5], "b": [True, False, True]}, "'b' is binary"),
    ],
)
def test_labels_are_refused_by_name(data, words):
    with pytest.raises(UsageError, match=words):
        genprob.fit(data, Flow, steps=1)


def test_counts_are_refused_with_the_support_to_state():
    with pytest.raises(UsageError, match=r"schema=\{'n': 'real'\}"):
        Flow(
            Schema(
                (
                    Variable("x", Interval(0.0, 1.0)),
                    Variable("n", Count()),
                )
            )
        )


def test_constant_columns_and_intervals_are_fitted():
    rng = np.random.default_rng(0)
    data = {"one": np.full(200, 3.5), "u": rng.uniform(0.1, 0.9, 200)}
    joint = genprob.fit(data, Flow, steps=20, schema={"u": "interval(0, 1)", "one": "real"}, hidden=(8,))
    drawn = joint.sample(200)["u"].values
    assert ((drawn > 0) & (drawn < 1)).all() and np.isfinite(joint.log_prob(data)["log_prob"].values).all()


@pytest.mark.parametrize("seed", [0, 2])
def test_proposals_are_learned_from_the_flow_and_not_from_its_rows(seed):
    """A flow that has not learned its rows is answered for as well as one that has."""
    joint = joint_of(seed=seed)
    model = joint.model
    queries = QueryBatch.from_evidence(PAIR, [{"x": x} for x in joint.sample(5, seed=1)["x"].values])
    ess = []
    for guide in (model.guide_law, model._proposals()):
        torch.manual_seed(0)
        z, minus_log_q = guide.propose(Boxes.of(model.encoder, queries, torch.device("cpu")), 2000)
        with torch.no_grad():
            weight = torch.softmax(model._log_flow(z) + minus_log_q, 1)
        ess.append(float((1 / weight.square().sum(1)).mean()) / 2000)
    assert ess[1] > max(0.5, 2 * ess[0])


def test_learning_proposals_takes_none_of_the_callers_random_numbers():
    joint = joint_of()
    first = joint.query("p", {"x": 0.5}, draws=20, seed=4)
    again = joint.query("p", {"x": 0.5}, draws=20, seed=4)
    assert (first["posterior"]["p"].values == again["posterior"]["p"].values).all()
    kept = joint.model._proposals()
    assert joint.model._proposals() is kept
    with torch.no_grad():
        next(joint.model.parameters()).add_(0.1)
    assert joint.model._proposals() is not kept
