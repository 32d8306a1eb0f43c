"""Marginals: cells of every width and support, separated components, large counts, bent encodings."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import genprob
from genprob import OneOf, Soft, Within
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Count, Interval, Positive, Real
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.results.record import QUANTILES
from genprob.testing.quadrature import QuadratureMixture

CELLS = Schema(
    (
        Variable("narrow", Real(), Cell(0.1)),
        Variable("middle", Real(), Cell(0.8)),
        Variable("wide", Real(), Cell(2.5)),
        Variable("p", Positive(), Cell(0.25)),
        Variable("u", Interval(0, 1), Cell(0.1)),
        Variable("x", Real()),
    )
)


def law():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(2, 6, 6))
    covariance = 0.12 * a @ a.transpose(0, 2, 1) + 0.1 * np.eye(6)
    return QuadratureMixture(CELLS, np.array([0.6, 0.4]), 0.7 * rng.normal(size=(2, 6)), covariance)


@pytest.fixture(scope="module")
def cells(known):
    reference = law()
    return reference, known(reference)


@pytest.mark.parametrize("target", ["narrow", "middle", "wide", "p", "u"])
@pytest.mark.parametrize("given", [{}, {"x": 0.4}, {"x": Within(0.0, 1.0)}], ids=str)
def test_moments_and_quantiles_of_cells(cells, target, given):
    reference, joint = cells
    truth = reference.answer(target, given)
    answer = joint.query([target], given, draws=4000)
    node, delta = answer["marginals"], CELLS[target].cell.delta
    mean, sd = float(node[f"{target}_mean"]), float(node[f"{target}_sd"])
    assert answer.attrs["guarantee"] == "exact" and float(node[f"{target}_mcse"]) == 0
    near = 1e-3 if target in ("narrow", "middle", "wide") else 0.02  # a bent cell is only nearly a symmetric one
    assert abs(mean - truth.mean) < near * truth.sd
    assert abs(sd - truth.sd) < near * truth.sd
    q = node[f"{target}_quantile"].values
    assert np.array_equal(q, CELLS[target].cell.snap(q))
    levels = np.array(QUANTILES)
    assert (truth.cdf(q) >= levels - 1e-3).all() and (truth.cdf(q - delta) <= levels + 1e-3).all()
    x = answer["posterior"][target].values.ravel()
    assert np.abs((x[:, None] <= q).mean(0) - truth.cdf(q)).max() < 2.4 / np.sqrt(4000)


@pytest.mark.parametrize(
    "given",
    [{"narrow": 0.3}, {"wide": 2.5}, {"p": 1.5}, {"u": 0.4}, {"p": OneOf(0.5, 2.0, 2.25)}, {"u": Within(0.25, 0.6)},
     {"p": Within(None, 0.3)}, {"u": Within(0.85, None)}, {"wide": OneOf(-2.5, 2.5)}],
    ids=str,
)  # fmt: skip
def test_what_one_cell_says_of_the_others(cells, given):
    reference, joint = cells
    target = "x" if "wide" in given else "wide"
    answer = joint.query(["x", target], given, draws=2)
    for name in {"x", target}:
        truth = reference.answer(name, given)
        assert answer.attrs["log_evidence"] == pytest.approx(truth.log_evidence, abs=1e-6)
        assert float(answer["marginals"][f"{name}_mean"]) == pytest.approx(truth.mean, abs=2e-3 * truth.sd)
        assert float(answer["marginals"][f"{name}_sd"]) == pytest.approx(truth.sd, rel=0.02)


@pytest.mark.parametrize(
    "given",
    [{"narrow": 0.3, "wide": 0.0}, {"p": 0.25, "u": 0.9}, {"u": Soft(0.4, sd=0.05)}, {"p": Soft(0.1, sd=0.3)}],
    ids=str,
)
def test_cells_together_by_importance(cells, given):
    reference, joint = cells
    truth = reference.answer("x", given)
    answer = joint.query(["x"], given, draws=2, budget=8192)
    assert answer.attrs["strategy"] == "importance" and answer.attrs["computation"] == "ok"
    assert abs(answer.attrs["log_evidence"] - truth.log_evidence) < 4 * answer.attrs["log_evidence_se"]
    assert abs(float(answer["marginals"]["x_mean"]) - truth.mean) < 4 * float(answer["marginals"]["x_mcse"])


@pytest.mark.parametrize("gap, spread", [(10.0, 1.0), (100.0, 0.01), (1e4, 1e-3)])
def test_quantiles_of_separated_components(known, gap, spread):
    schema = Schema((Variable("x", Real()),))
    weight = np.array([0.2, 0.5, 0.3])
    reference = QuadratureMixture(schema, weight, np.array([[0.0], [gap], [3 * gap]]), np.full((3, 1, 1), spread**2))
    q = known(reference).query(["x"], {}, draws=2)["marginals"]["x_quantile"].values
    cdf = (weight * stats.norm.cdf((q[:, None] - [0.0, gap, 3 * gap]) / spread)).sum(1)
    np.testing.assert_allclose(cdf, QUANTILES, atol=1e-5)


@pytest.mark.parametrize("mean, size", [(3.0, 2.0), (900.0, 40.0), (30_000.0, 3.0), (2e6, 1e9)])
def test_quantiles_of_counts_of_any_size(known, mean, size):
    schema = Schema((Variable("n", Count()),))
    means, sizes = np.array([mean, 1.5 * mean]), np.array([size, size])
    none = np.zeros((2, 0)), np.zeros((2, 0, 0))
    joint = known(QuadratureMixture(schema, np.array([0.7, 0.3]), *none, counts={"n": (means, sizes)}))
    answer = joint.query(["n"], {}, draws=4000)
    node = answer["marginals"]
    laws = [stats.nbinom(r, r / (r + m)) for m, r in zip(means, sizes, strict=True)]

    def cdf(n):
        return 0.7 * laws[0].cdf(n) + 0.3 * laws[1].cdf(n)

    q = node["n_quantile"].values
    assert (cdf(q) >= np.array(QUANTILES) - 1e-6).all() and (cdf(q - 1) <= np.array(QUANTILES) + 1e-6).all()
    centre = 0.7 * means[0] + 0.3 * means[1]
    variance = 0.7 * (laws[0].var() + (means[0] - centre) ** 2) + 0.3 * (laws[1].var() + (means[1] - centre) ** 2)
    assert float(node["n_mean"]) == pytest.approx(centre, rel=1e-9)
    assert float(node["n_sd"]) == pytest.approx(np.sqrt(variance), rel=1e-5)
    draws = answer["posterior"]["n"].values.ravel()
    assert np.abs((draws[:, None] <= q).mean(0) - cdf(q)).max() < 2.4 / np.sqrt(4000)


def test_ranges_of_counts_too_large_to_sum_are_refused_not_cut(known):
    schema = Schema((Variable("n", Count()), Variable("x", Real())))
    counts = {"n": (np.array([2e6]), np.array([5.0]))}
    joint = known(QuadratureMixture(schema, np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), counts=counts))
    with pytest.raises(UsageError, match="'n': ranges, sets and noisy readings of counts are summed one by one"):
        joint.query(["x"], {"n": Within(None, 1_000_000)})
    exact = stats.nbinom.logpmf(1_500_000, 5, 5 / (5 + 2e6))
    assert joint.query(["x"], {"n": 1_500_000}, draws=2).attrs["log_evidence"] == pytest.approx(exact, abs=1e-5)


@pytest.fixture(scope="module")
def bent():
    """A fit whose encoding is nowhere linear."""
    rng = np.random.default_rng(3)
    x = rng.gamma(1.2, size=800)
    y = x + rng.gumbel(size=800)
    schema = {"x": "real", "y": "real"}
    return genprob.fit({"x": x, "y": y}, components=2, transform="yeo-johnson", steps=20, schema=schema)


def density(joint, x, y):
    log_p = joint.log_prob(xr.Dataset({"x": ("row", x.ravel()), "y": ("row", y.ravel())}))["log_prob"].values
    return np.exp(log_p).reshape(x.shape)


def test_queries_through_a_power_transform(bent):
    at, share = np.polynomial.legendre.leggauss(400)
    x, wx = 12 + 22 * at, 22 * share
    y, wy = 12 + 24 * at, 24 * share
    mesh = np.meshgrid(x, y, indexing="ij")
    p = density(bent, *mesh) * np.outer(wx, wy)
    assert p.sum() == pytest.approx(1.0, abs=2e-3)
    for given, weight in (({"x": Within(1.0, 2.5)}, None), ({"x": Soft(2.0, sd=0.5)}, stats.norm.pdf(2.0, x, 0.5))):
        if weight is None:
            xs, ws = 1.75 + 0.75 * at, 0.75 * share
            q = density(bent, *np.meshgrid(xs, y, indexing="ij")) * np.outer(ws, wy)
        else:
            q = p * weight[:, None]
        answer = bent.query(["y"], given, draws=2, budget=16_384)
        error = 4 * answer.attrs["log_evidence_se"] + 2e-3
        assert abs(answer.attrs["log_evidence"] - np.log(q.sum())) < error
        mean = (q.sum(0) @ y) / q.sum()
        sd = np.sqrt((q.sum(0) @ (y - mean) ** 2) / q.sum())
        node = answer["marginals"]
        assert abs(float(node["y_mean"]) - mean) < 4 * float(node["y_mcse"]) + 5e-3 * sd
        assert float(node["y_sd"]) == pytest.approx(sd, rel=0.05)
    assert bent.explain(["y"], {"x": Within(1.0, 2.5)}).chosen == "closed-form"
    assert bent.explain(["y"], {"x": Soft(2.0, sd=0.5)}).chosen == "importance"


def test_arrays_of_reals_come_back_in_their_shape(known):
    schema = Schema((Variable("v", Real(), dims=("t", "s"), shape=(2, 2)), Variable("x", Real())))
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 5, 5))
    covariance = 0.3 * a @ a.transpose(0, 2, 1) + 0.1 * np.eye(5)
    mean, weight = rng.normal(size=(2, 5)), np.array([0.4, 0.6])
    flat = Schema(tuple(Variable(n, Real()) for n in "abcdx"))
    joint = known(QuadratureMixture(flat, weight, mean, covariance))
    model = type(joint.model)(schema, components=2)
    model.load_state_dict(joint.model.state_dict())
    whole = Joint(schema, model.eval(), run=None, reference=joint.reference, rows=256)
    mask = np.array([[True, False], [False, True]])
    answer = whole.query(["v"], {"v": genprob.Masked(np.array([[0.3, 9], [9, -0.2]]), mask), "x": 0.1}, draws=50)
    exact = joint.query(["b", "c"], {"a": 0.3, "d": -0.2, "x": 0.1}, draws=2)
    node = answer["marginals"]
    expected = [[0.3, float(exact["marginals"]["b_mean"])], [float(exact["marginals"]["c_mean"]), -0.2]]
    np.testing.assert_allclose(node["v_mean"].values, expected, atol=1e-9)
    assert node["v_sd"].values[mask].tolist() == [0, 0] and (node["v_sd"].values[~mask] > 0).all()
    assert node["v_quantile"].shape == (7, 2, 2) and answer["posterior"]["v"].shape == (1, 50, 2, 2)
    assert (answer["posterior"]["v"].values[..., 0, 0] == 0.3).all()
    assert answer.attrs["log_evidence"] == pytest.approx(exact.attrs["log_evidence"], abs=1e-9)
    assert torch.isfinite(torch.as_tensor(answer["posterior"]["v"].values)).all()


def test_errors_of_a_large_cloud_rest_on_its_effective_size(known):
    """Many queries of many particles, few of which weigh anything: the marginals must not forget how few."""
    schema = Schema(tuple(Variable(n, Real()) for n in "xyz"))
    covariance = np.array([[[1.0, 0.6, 0.8], [0.6, 1.0, 0.5], [0.8, 0.5, 1.0]]])
    reference = QuadratureMixture(schema, np.ones(1), np.zeros((1, 3)), covariance)
    given = {"x": Within(-2.5, 2.5), "y": Within(0.0, 1.0)}
    truth = reference.answer("z", given)
    torch.manual_seed(0)
    cloud = known(reference).model.propose(QueryBatch.from_evidence(schema, [given] * 80, ["z"]), 4096)
    cloud.log_weight = cloud.log_weight + 1.8 * torch.randn_like(cloud.log_weight) - 1.8**2 / 2
    found = cloud.marginals(("z",))["z"]
    z = (found.mean - truth.mean) / found.mcse
    assert np.abs(z).max() < 4.5 and 0.7 < np.sqrt((z**2).mean()) < 1.3
