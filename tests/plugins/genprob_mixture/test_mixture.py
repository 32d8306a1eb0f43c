"""The mixture as a joint: its density against quadrature and sums, its draws, holes, and what it learns."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import special, stats

import genprob
from genprob import Masked
from genprob.data.batch import as_batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.data.table import Table
from genprob.errors import UsageError
from genprob.testing.quadrature import QuadratureMixture
from genprob_mixture.mixture import Mixture


def law(*variables, components=2, seed=0, levels=(), counts=()):
    rng = np.random.default_rng(seed)
    schema = Schema(variables)
    d = sum(not v.discrete for v in variables)
    a = rng.normal(size=(components, d, d))
    return QuadratureMixture(
        schema,
        rng.dirichlet(3 * np.ones(components)),
        0.7 * rng.normal(size=(components, d)),
        0.2 * a @ a.transpose(0, 2, 1) + 0.1 * np.eye(d),
        {name: rng.dirichlet(np.ones(size), components) for name, size in levels},
        {name: (rng.uniform(1, 8, components), rng.uniform(0.5, 20, components)) for name in counts},
    )


def scored(joint, columns):
    """log_prob of rows given as flat columns."""
    return joint.log_prob(xr.Dataset({k: ("row", np.asarray(v)) for k, v in columns.items()}))


def grid(variable, nodes=300):
    """Nodes and weights over the support, in data units, from a map of the line."""
    at, share = np.polynomial.legendre.leggauss(nodes)
    z = 9 * at
    match variable.support:
        case Positive():
            x, slope = np.exp(z), np.exp(z)
        case Interval(lo, hi):
            s = special.expit(z)
            x, slope = lo + (hi - lo) * s, (hi - lo) * s * (1 - s)
        case _:
            x, slope = z, np.ones_like(z)
    keep = variable.support.contains(x)
    return x[keep], (9 * share * slope)[keep]


ONE = {"real": Variable("v", Real()), "positive": Variable("v", Positive()), "interval": Variable("v", Interval(-1, 4))}


@pytest.mark.parametrize("kind", ONE)
def test_one_dimension_integrates_to_one(known, kind):
    x, w = grid(ONE[kind])
    density = np.exp(scored(known(law(ONE[kind])), {"v": x})["log_prob"].values)
    assert density @ w == pytest.approx(1.0, abs=1e-6)


def test_two_dimensions_with_levels_and_counts_add_up_to_one(known):
    x, p = Variable("x", Real()), Variable("p", Positive())
    reference = law(
        x, p, Variable("g", Categorical(("a", "b"))), Variable("b", Binary()), Variable("n", Count()),
        levels=(("g", 2), ("b", 2)), counts=("n",),
    )  # fmt: skip
    joint = known(reference)
    total = 0.0
    (xs, xw), (ps, pw) = grid(x, 90), grid(p, 90)
    for g in "ab":
        for b in (0, 1):
            n = np.repeat([0, 1, 2, 5, 17], 8100)
            rows = {"x": np.tile(np.repeat(xs, 90), 5), "p": np.tile(np.tile(ps, 90), 5), "n": n}
            mass = np.exp(scored(joint, rows | {"g": np.full(len(n), g), "b": np.full(len(n), b)})["log_prob"].values)
            total = total + mass.reshape(5, -1) @ np.outer(xw, pw).ravel()
    mean, size = reference.counts["n"]
    expected = [reference.weight @ stats.nbinom.pmf(n, size, size / (size + mean)) for n in (0, 1, 2, 5, 17)]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_three_correlated_reals_integrate_to_one(known):
    variables = Variable("x", Real()), Variable("p", Positive()), Variable("u", Interval(0, 2))
    joint = known(law(*variables, seed=3))
    axes = [grid(v, 64) for v in variables]
    mesh = np.meshgrid(*[a[0] for a in axes], indexing="ij")
    weight = np.einsum("i,j,k->ijk", *[a[1] for a in axes]).ravel()
    rows = {v.name: m.ravel() for v, m in zip(variables, mesh, strict=True)}
    density = np.exp(scored(joint, rows)["log_prob"].values)
    assert density @ weight == pytest.approx(1.0, abs=1e-3)


def test_one_cell_column_has_mass_one_exactly(known):
    joint = known(law(Variable("c", Real(), Cell(0.5)), Variable("p", Positive(), Cell(0.25)), seed=2))
    values = np.arange(-30, 31) * 0.5
    out = scored(joint, {"c": values, "p": np.full(len(values), np.nan)})
    assert out.attrs["kind"] == "exact" and (out["standard_error"] == 0).all()
    assert np.exp(out["log_prob"].values).sum() == pytest.approx(1.0, abs=1e-9)
    prices = np.arange(1, 4000) * 0.25
    edge = 1 - np.exp(scored(joint, {"p": prices, "c": np.full(len(prices), np.nan)})["log_prob"].values).sum()
    z = np.log(0.125)  # what lies in the cell of 0, which no row can hold
    reference = law(Variable("c", Real(), Cell(0.5)), Variable("p", Positive(), Cell(0.25)), seed=2)
    below = reference.weight @ stats.norm.cdf(z, reference.mean[:, 1], np.sqrt(reference.covariance[:, 1, 1]))
    assert edge == pytest.approx(below, abs=1e-6)


def test_two_correlated_cells_have_mass_one_within_the_stated_error(known):
    joint = known(law(Variable("a", Real(), Cell(0.5)), Variable("b", Real(), Cell(1.0)), seed=4))
    a, b = (m.ravel() for m in np.meshgrid(np.arange(-14, 15) * 0.5, np.arange(-7.0, 8.0), indexing="ij"))
    out = scored(joint, {"a": a, "b": b})
    assert out.attrs["kind"] == "estimate"
    mass = np.exp(out["log_prob"].values)
    error = np.sqrt(((mass * out["standard_error"].values) ** 2).sum())
    assert 0 < error < 0.02 and abs(mass.sum() - 1) < 4 * error + 1e-4


@pytest.mark.parametrize("hidden", [("x",), ("p",), ("c",), ("x", "g"), ("n", "p"), ("g", "n", "c")])
def test_holes_are_summed_out(known, hidden):
    reference = law(
        Variable("x", Real()), Variable("p", Positive()), Variable("c", Real(), Cell(0.5)),
        Variable("g", Categorical(("a", "b", "c"))), Variable("n", Count()), levels=(("g", 3),), counts=("n",), seed=5,
    )  # fmt: skip
    joint = known(reference)
    row = {"x": 0.3, "p": 0.8, "c": 0.5, "g": "b", "n": 4}
    given = {k: v for k, v in row.items() if k not in hidden}
    holed = {k: [v if k in given else (None if k == "g" else np.nan)] for k, v in row.items()}
    got = scored(joint, {k: np.array(v, dtype=object if k == "g" else float) for k, v in holed.items()})
    assert got["log_prob"].item() == pytest.approx(reference.answer(None, given).log_evidence, abs=1e-6)


def test_a_row_without_a_known_cell_has_log_probability_zero(known):
    joint = known(law(Variable("x", Real()), Variable("y", Real())))
    assert scored(joint, {"x": [np.nan], "y": [np.nan]})["log_prob"].item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("given", [["x"], ["g"], ["x", "n"], ["p", "g", "n"]])
def test_conditional_log_prob_is_the_difference(known, given):
    reference = law(
        Variable("x", Real()), Variable("p", Positive()), Variable("g", Categorical(("a", "b"))),
        Variable("n", Count()),
        levels=(("g", 2),), counts=("n",), seed=6,
    )  # fmt: skip
    joint = known(reference)
    ds = Table(reference.schema, reference.sample(40, np.random.default_rng(0))).to_dataset()
    whole = joint.log_prob(ds)["log_prob"].values
    part = joint.log_prob(ds[given])["log_prob"].values
    rest = joint.conditional_log_prob(ds, given)
    np.testing.assert_allclose(rest["log_prob"].values, whole - part, atol=1e-10)
    assert rest.attrs["kind"] == "exact" and np.ptp(rest["log_prob"].values) > 0.1


def test_scores_of_rows_are_log_probabilities(known):
    reference = law(
        Variable("x", Real()), Variable("p", Positive()), Variable("b", Binary()), Variable("n", Count()),
        levels=(("b", 2),), counts=("n",), seed=7,
    )  # fmt: skip
    joint = known(reference)
    values = reference.sample(200, np.random.default_rng(1))
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    table = Table(reference.schema, values)
    quick = joint.model.score_rows(as_batch(table)).numpy()
    np.testing.assert_allclose(quick, joint.log_prob(table.to_dataset())["log_prob"].values, atol=1e-9)


def test_draws_of_the_joint_follow_it(known):
    reference = law(
        Variable("x", Real()), Variable("p", Positive()), Variable("c", Real(), Cell(0.5)),
        Variable("g", Categorical(("a", "b", "c"))), Variable("n", Count()), levels=(("g", 3),), counts=("n",), seed=8,
    )  # fmt: skip
    drawn = known(reference).sample(20_000, seed=1)
    own = reference.sample(20_000, np.random.default_rng(3))
    for j, name in enumerate(("x", "p", "c")):
        assert stats.ks_2samp(drawn[name].values, own[:, j]).pvalue > 1e-3
    z = np.stack([drawn["x"], np.log(drawn["p"])])
    np.testing.assert_allclose(np.corrcoef(z)[0, 1], np.corrcoef(own[:, 0], np.log(own[:, 1]))[0, 1], atol=0.03)
    share = np.array([(drawn["g"] == v).mean() for v in "abc"])
    np.testing.assert_allclose(share, reference.weight @ reference.levels["g"], atol=0.015)
    assert stats.ks_2samp(drawn["n"].values, own[:, 4]).pvalue > 1e-3


def test_the_pyro_pair_is_the_same_density(known):
    from pyro.infer import TraceEnum_ELBO

    reference = law(
        Variable("x", Real()), Variable("p", Positive()), Variable("g", Categorical(("a", "b"))), levels=(("g", 2),)
    )
    model = known(reference).model
    values = reference.sample(30, np.random.default_rng(0))
    values[::4, 0], values[1::4, 2] = np.nan, np.nan
    batch = as_batch(Table(reference.schema, values))
    bound = -TraceEnum_ELBO(max_plate_nesting=1).loss(model.model, model.guide, batch)
    encoded = model.score_rows(batch) - model.rows(batch).log_jacobian
    assert bound == pytest.approx(encoded.sum().item(), rel=1e-6)


# --- learning


def clusters(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 3, n)
    centre = np.array([[0.0, 0.0], [8.0, 1.0], [2.0, 9.0]])[k]
    return k, centre + rng.normal(size=(n, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])


def test_separated_clusters_are_recovered_without_labels():
    k, x = clusters()
    joint = genprob.fit({"x": x[:, 0], "y": x[:, 1]}, components=3, seed=1)
    model = joint.model
    found = (model.mean * model.encoder.scale + model.encoder.loc).detach().numpy()
    for i, centre in enumerate([[0.0, 0.0], [8.0, 1.0], [2.0, 9.0]]):
        nearest = np.abs(found - centre).sum(1).argmin()
        np.testing.assert_allclose(found[nearest], x[k == i].mean(0), atol=0.1)
        assert model.weights().exp()[nearest].item() == pytest.approx((k == i).mean(), abs=0.01)


def test_the_number_of_components_is_about_right():
    _, x = clusters()
    joint = genprob.fit({"x": x[:, 0], "y": x[:, 1]}, steps=5)
    assert 3 <= joint.model.components <= 6
    assert any("components by held-out log-likelihood" in note for note in joint.notes)
    rng = np.random.default_rng(1)
    single = genprob.fit({"x": rng.normal(size=800), "y": rng.normal(size=800)}, steps=5)
    assert single.model.components <= 2


def test_elbo_reaches_the_likelihood_of_em():
    _, x = clusters(600)
    data = {"x": x[:, 0], "y": x[:, 1], "g": np.where(x[:, 0] > 4, "a", "b")}
    ds = genprob.read(data)
    em = genprob.fit(data, components=3, inference={"name": "em", "tolerance": 1e-7}, steps=300)
    elbo = genprob.fit(data, components=3, inference={"name": "elbo", "lr": 0.02, "holdout": 0.0}, steps=300)
    one, other = (float(j.log_prob(ds)["log_prob"].mean()) for j in (em, elbo))
    assert other == pytest.approx(one, abs=0.02)


def test_labels_are_holes_like_any_other():
    rng = np.random.default_rng(4)
    g = rng.integers(0, 2, 800)
    x = rng.normal(size=800) + 4 * g
    label = np.where(g == 1, "b", "a").astype(object)
    label[rng.random(800) < 0.9] = None
    joint = genprob.fit({"x": x, "g": label}, components=2)
    answer = joint.query("g", rows={"x": np.array([-0.5, 4.5]), "g": np.array([None, None], dtype=object)}, draws=10)
    pmf = answer["marginals"]["g_pmf"].values
    assert pmf[0, 0] > 0.9 and pmf[1, 1] > 0.9


@pytest.fixture(scope="module")
def digits():
    data = genprob.read("digits")[["image"]]
    train, test = data.isel(row=slice(0, 1400)), data.isel(row=slice(1400, 1500))
    return genprob.fit(train, components=20, steps=25), test["image"].values


def test_the_lower_half_of_a_digit_follows_from_the_upper(digits):
    joint, images = digits
    upper = np.zeros((8, 8), dtype=bool)
    upper[:4] = True
    rows = [{"image": Masked(image, upper)} for image in images]
    answer = joint.query(rows=rows, draws=50)
    p = answer["marginals"]["image_pmf"].values[..., 1]
    blind = joint.query("image", {}, draws=50)["marginals"]["image_pmf"].values[..., 1]

    def score(p):
        p = np.clip(p, 1e-4, 1 - 1e-4)
        return (images * np.log(p) + (1 - images) * np.log(1 - p))[:, 4:].sum((1, 2))

    gain = score(p) - score(np.broadcast_to(blind, p.shape))
    assert gain.mean() > 2 * gain.std() / 10 and gain.mean() > 3.0
    drawn = answer["posterior"]["image"].values
    assert (drawn[:, 0, :, :4] == images[:, None, :4]).all()
    np.testing.assert_allclose(drawn[:, 0, :, 4:].mean(1), p[:, 4:], atol=0.4)
    assert np.corrcoef(drawn[:, 0, :, 4:].mean(1).ravel(), p[:, 4:].ravel())[0, 1] > 0.97


def test_the_evidence_of_part_of_an_image_is_its_marginal_probability(digits):
    joint, images = digits
    model = joint.model
    mask = np.random.default_rng(0).random((8, 8)) < 0.3
    answer = joint.query("image", {"image": Masked(images[0], mask)}, draws=1)
    log_p = model.level_log_probs().detach().numpy().reshape(model.components, 64, 2)
    known = images[0].ravel()[mask.ravel()]
    per = model.weights().detach().numpy() + log_p[:, mask.ravel()][:, np.arange(mask.sum()), known].sum(1)
    assert answer.attrs["log_evidence"] == pytest.approx(special.logsumexp(per), abs=1e-8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"components": 0}, "components=0"),
        ({"covariance": "sparse"}, "covariance 'sparse' is not one of: full, diagonal, low-rank"),
        ({"ridge": -1.0}, "ridge=-1.0"),
        ({"smoothing": np.nan}, "smoothing=nan"),
        ({"rank": 0}, "rank=0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        Mixture(Schema((Variable("x", Real()),)), **options)


def test_more_components_than_rows_are_reduced():
    joint = genprob.fit({"x": np.random.default_rng(0).normal(size=5)}, components=30)
    assert joint.model.components == 5 and any("reduced from 30" in note for note in joint.notes)
    assert torch.isfinite(joint.model.covariance()).all()
