"""Answers of a mixture with known parameters against quadrature and enumeration, for every kind of evidence."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from genprob import OneOf, Soft, Within
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Interval, Positive, Real
from genprob.results.record import QUANTILES
from genprob.testing.quadrature import QuadratureMixture

REALS = ("x", "p", "u", "c")
SCHEMA = Schema(
    (
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("n", Count()),
        Variable("u", Interval(-2.0, 3.0)),
        Variable("c", Real(), Cell(0.5)),
        Variable("b", Binary()),
    )
)


def reference(*, diagonal=False):
    rng = np.random.default_rng(11)
    a = rng.normal(size=(3, 4, 4))
    covariance = 0.25 * a @ a.transpose(0, 2, 1) + 0.15 * np.eye(4)
    return QuadratureMixture(
        SCHEMA,
        np.array([0.5, 0.3, 0.2]),
        0.8 * rng.normal(size=(3, 4)),
        covariance * np.eye(4) if diagonal else covariance,
        {"g": rng.dirichlet(2 * np.ones(3), 3), "b": rng.dirichlet(2 * np.ones(2), 3)},
        {"n": (np.array([2.0, 5.0, 9.0]), np.array([3.0, 1e9, 10.0]))},
    )


EVIDENCE = {
    "x": [0.5, Within(-0.3, 0.8), Within(None, 0.1), Soft(0.3, sd=0.4)],
    "p": [1.2, Within(0.5, 2.0), Within(2.5, None), Soft(1.5, sd=0.4)],
    "u": [1.1, Within(0.0, 1.0), Within(None, 0.4), Soft(0.6, sd=0.5)],
    "c": [1.0, Within(-0.6, 1.0), Within(0.9, None), OneOf(-1, 0.5, 2), Soft(0.6, sd=0.5)],
    "g": ["b", OneOf("a", "c"), Soft({"a": 0.7, "b": 0.1})],
    "b": [1, OneOf(0), Soft({"0": 3.0, "1": 0.5})],
    "n": [3, Within(2, 6), Within(7, None), OneOf(0, 4, 9), Soft(5.5, sd=2.0)],
}
SINGLES = [{name: evidence} for name, kinds in EVIDENCE.items() for evidence in kinds]


def mixed(size, many, seed):
    """Random combinations, with no more than two reals."""
    rng = np.random.default_rng(seed)
    out = []
    while len(out) < many:
        names = rng.choice(list(EVIDENCE), size, replace=False)
        if sum(n in REALS for n in names) <= 2:
            out.append({str(n): EVIDENCE[n][rng.integers(len(EVIDENCE[n]))] for n in names})
    return out


PAIRS = mixed(2, 24, 0) + [
    {"x": EVIDENCE["x"][i], "c": EVIDENCE["c"][j]} for i, j in ((0, 0), (1, 0), (1, 1), (3, 0), (2, 3), (3, 4))
]
TRIPLES = mixed(3, 14, 1)
SHAPES = {"coupled": reference(), "diagonal": reference(diagonal=True)}


@pytest.fixture(scope="module")
def joints(known):
    return {name: known(r, covariance="diagonal" if name == "diagonal" else "full") for name, r in SHAPES.items()}


TRUTHS = {}


def truth_of(shape, name, given):
    """The reference's answer, found once."""
    key = shape, name, label(given)
    if key not in TRUTHS:
        TRUTHS[key] = SHAPES[shape].answer(name, given)
    return TRUTHS[key]


def target_of(given, seed=0):
    """A real target, and a discrete one, that are not given."""
    rng = np.random.default_rng(len(given) + seed + len(str(given)))
    real = [n for n in REALS if n not in given]
    discrete = [n for n in ("g", "b", "n") if n not in given]
    return [str(rng.choice(real))] + ([str(rng.choice(discrete))] if discrete else [])


def marginal(tree, name):
    node = tree["marginals"].to_dataset()
    out = {"pmf": node[f"{name}_pmf"].values if f"{name}_pmf" in node else None}
    if out["pmf"] is not None:
        out["pmf_mcse"] = node[f"{name}_pmf_mcse"].values
    for key in ("mean", "sd", "mcse", "quantile"):
        out[key] = node[f"{name}_{key}"].values if f"{name}_{key}" in node else None
    return out


def label(given):
    return ", ".join(f"{k}={v}" for k, v in given.items())


def offered(joint, targets, given):
    return {w.strategy: w for w in joint.explain(targets, given).offers if w.offered}


# --- closed form: to the digits


def check_exact(truth, found, name):
    if truth.pmf is not None and found["pmf"] is not None:
        np.testing.assert_allclose(found["pmf"], truth.pmf, atol=1e-9)
        assert (found["pmf_mcse"] == 0).all()
    if name == "g":
        return
    step = {"c": 0.5, "n": 1.0}.get(name)
    assert float(found["mcse"]) == 0
    # a cell's moments are those of the law plus Sheppard's correction, which is not exact to the last digit
    near = 2e-3 if step == 0.5 else 1e-4
    assert found["mean"] == pytest.approx(truth.mean, abs=near * truth.sd)
    assert found["sd"] == pytest.approx(truth.sd, rel=5 * near)
    if name == "b":
        return
    if step is None:
        np.testing.assert_allclose(truth.cdf(found["quantile"]), QUANTILES, atol=2e-3)
    else:
        at = truth.cdf(np.maximum(found["quantile"], 0) if name == "n" else found["quantile"])
        below = np.array([truth.cdf(q - step) if name == "c" or q >= 1 else 0.0 for q in found["quantile"]])
        assert (at >= np.array(QUANTILES) - 2e-3).all() and (below <= np.array(QUANTILES) + 2e-3).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given", SINGLES + PAIRS + TRIPLES, ids=label)
def test_closed_form_is_the_truth(joints, shape, given):
    joint = joints[shape]
    targets = target_of(given)
    if "closed-form" not in offered(joint, targets, given):
        bent = any(isinstance(v, Soft) and n in ("p", "u", "c") for n, v in given.items())
        boxes = sum(n in REALS and (n == "c" or isinstance(v, Within)) for n, v in given.items())
        assert bent or (boxes > 1 and shape == "coupled")
        return
    answer = joint.query(targets, given, draws=2, strategy="closed-form")
    assert answer.attrs["guarantee"] == "exact" and answer.attrs["log_evidence_se"] == 0
    for name in targets:
        truth = truth_of(shape, name, given)
        assert answer.attrs["log_evidence"] == pytest.approx(truth.log_evidence, abs=1e-5)
        check_exact(truth, marginal(answer, name), name)


# --- sampling strategies: within their errors, which are honest


def scores(joint, shape, cases, strategy, budget):
    """z-scores of log-evidences and of means (or probabilities) over a table of cases."""
    evidence, means = [], []
    for seed, given in enumerate(cases):
        targets = target_of(given)
        answer = joint.query(targets, given, draws=2, strategy=strategy, budget=budget, seed=seed)
        assert answer.attrs["computation"] == "ok", (given, answer.attrs["reasons"])
        for name in targets:
            truth, found = truth_of(shape, name, given), marginal(answer, name)
            error = max(answer.attrs["log_evidence_se"], 1e-3)
            evidence.append((answer.attrs["log_evidence"] - truth.log_evidence) / error)
            if name == "g":
                means += ((found["pmf"] - truth.pmf) / np.maximum(found["pmf_mcse"], 1e-4)).tolist()
            else:
                means.append((found["mean"] - truth.mean) / max(found["mcse"], 2e-3 * truth.sd))
                if name != "p":  # too heavy a tail to know its spread from a thousand draws
                    assert found["sd"] == pytest.approx(truth.sd, rel=0.2)
    return np.array(evidence), np.array(means, dtype=float)


def sampled(cases, joint):
    return [g for g in cases if "closed-form" not in offered(joint, target_of(g), g)]


@pytest.mark.parametrize("shape", SHAPES)
def test_importance_is_right_within_its_errors(joints, shape):
    joint = joints[shape]
    cases = sampled(SINGLES + PAIRS + TRIPLES, joint) + SINGLES[::3] + PAIRS[::5]
    assert len(cases) > 15
    evidence, means = scores(joint, shape, cases, "importance", 2048)
    assert np.abs(evidence).max() < 4 and np.abs(means).max() < 4
    # components are drawn systematically, which the errors of means leave out of account
    assert 0.3 < np.sqrt((evidence**2).mean()) < 1.3 and 0.1 < np.sqrt((means**2).mean()) < 1.2


@pytest.mark.parametrize("shape", SHAPES)
def test_rejection_is_right_within_its_errors(joints, shape):
    joint = joints[shape]
    cases = [g for g in SINGLES + PAIRS[::3] + TRIPLES[::4] if truth_of(shape, None, g).log_evidence > -6]
    assert len(cases) > 20
    evidence, means = scores(joint, shape, cases, "rejection", None)
    assert np.abs(evidence).max() < 4 and np.abs(means).max() < 4
    assert 0.3 < np.sqrt((evidence**2).mean()) < 1.3 and 0.5 < np.sqrt((means**2).mean()) < 1.4


# --- draws


@pytest.mark.parametrize("given", SINGLES[::2] + PAIRS[::4] + TRIPLES[::5], ids=label)
def test_draws_follow_the_conditional(joints, given):
    joint = joints["coupled"]
    draws = 20_000
    targets = target_of(given, seed=1)
    answer = joint.query(targets, given, draws=draws, seed=3, budget=40_000)
    ess = min(draws, float(answer.attrs["ess"]))
    for name in targets:
        truth, x = truth_of("coupled", name, given), answer["posterior"][name].values[0]
        if truth.pmf is not None and name != "n":
            labels = ("a", "b", "c") if name == "g" else (0, 1)
            share = np.array([(x == v).mean() for v in labels])
            error = np.sqrt(truth.pmf * (1 - truth.pmf) / ess) * (1 if "closed" in answer.attrs["strategy"] else 1.5)
            assert (np.abs(share - truth.pmf) < 4.5 * error + 1e-12).all()
            continue
        grid = np.unique(np.quantile(x, np.linspace(0.01, 0.99, 25)))
        empirical = (x[:, None] <= grid).mean(0)
        # Kolmogorov's bound at a level of about 1e-5; repeated particles count once
        assert np.abs(empirical - truth.cdf(grid)).max() < 2.4 / np.sqrt(ess) * 1.5


def test_cells_are_drawn_at_their_table_values_and_counts_as_integers(joints):
    answer = joints["coupled"].query(None, {"x": 0.1}, draws=500)
    posterior = answer["posterior"]
    assert (posterior["c"].values * 2 == np.rint(posterior["c"].values * 2)).all()
    assert posterior["n"].dtype.kind == "i" and posterior["b"].dtype.kind == "i"
    assert set(np.unique(posterior["g"].values)) <= {"a", "b", "c"}
    assert (posterior["p"].values > 0).all() and (np.abs(posterior["u"].values - 0.5) < 2.5).all()


@pytest.mark.parametrize(
    "given",
    [{"c": Within(-1, 0.5), "n": OneOf(2, 5)}, {"p": Within(1, 1.5), "u": Within(None, 0.0), "g": OneOf("a", "c")}],
)
def test_what_is_given_softly_stays_within_it(joints, given):
    """Rows of a batch: a variable that one row asks is there for the row that gives a range of it, too."""
    joint = joints["coupled"]
    names = list(given)
    answer = joint.query(rows=[given, {"x": 0.0}], targets=None, draws=400)
    posterior = answer["posterior"].isel(query=0)
    for name in names:
        x, evidence = posterior[name].values.ravel(), given[name]
        if isinstance(evidence, OneOf):
            assert set(x.tolist()) <= set(evidence.values)
        else:
            assert (x >= (-np.inf if evidence.lo is None else evidence.lo)).all()
            assert (x <= (np.inf if evidence.hi is None else evidence.hi)).all()
            mean = float(answer["marginals"][f"{name}_mean"][0])
            assert mean == pytest.approx(x.mean(), abs=5 * x.std() / np.sqrt(len(x)) + 0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_marginals_of_what_another_row_asks_know_the_evidence(joints, shape):
    joint, law = joints[shape], SHAPES[shape]
    rows = [{"c": Within(0.5, 2.0)}, {"n": Within(6, None)}, {"g": OneOf("a", "b")}, {"x": Within(0.0, None)}, {"b": 1}]
    answer = joint.query(rows=rows, draws=4000)
    for q, row in enumerate(rows[:4]):
        (name,) = row
        x = answer["posterior"][name].isel(query=q).values.ravel()
        if name == "g":
            pmf = answer["marginals"]["g_pmf"].isel(query=q).values
            np.testing.assert_allclose(pmf, [np.mean(x == v) for v in "abc"], atol=0.04)
            continue
        mean = float(answer["marginals"][f"{name}_mean"][q])
        assert mean == pytest.approx(x.mean(), abs=5 * x.std() / np.sqrt(4000) + 0.02 * x.std())
    for q, row in enumerate(rows):  # and each row by itself is right, whichever column is boxed in the others
        target = next(n for n in ("u", "p") if n not in row)
        truth = law.answer(target, row)
        assert float(answer["marginals"][f"{target}_mean"][q]) == pytest.approx(truth.mean, abs=1e-4 * truth.sd)
        assert float(answer["marginals"][f"{target}_sd"][q]) == pytest.approx(truth.sd, rel=1e-3)


# --- units, chain rule, sets


def test_log_evidence_is_a_density_of_points_and_a_probability_of_sets(joints):
    joint = joints["coupled"]

    def evidence(given):
        return joint.query("g", given, draws=1).attrs["log_evidence"]

    for name, v, h in (("x", 0.4, 1e-4), ("p", 1.3, 1e-4), ("u", 0.7, 1e-4)):
        density = np.exp(evidence({name: Within(v - h, v + h)})) / (2 * h)
        assert np.exp(evidence({name: v})) == pytest.approx(density, rel=1e-5)
        reading = np.exp(evidence({name: Soft(v, sd=1e-4)}))
        assert reading == pytest.approx(density, rel=0.02)
    assert evidence({"c": 0.5}) == pytest.approx(evidence({"c": Within(0.5, 0.5)}), abs=1e-12)
    both = np.logaddexp(evidence({"c": 0.5}), evidence({"c": 1.0}))
    assert both == pytest.approx(evidence({"c": OneOf(0.5, 1.0)}), abs=1e-9)
    assert both == pytest.approx(evidence({"c": Within(0.4, 1.0)}), abs=1e-9)
    assert evidence({"x": Within(None, None)}) == pytest.approx(0.0, abs=1e-12)
    assert np.exp(evidence({"x": Within(None, 0.3)})) + np.exp(evidence({"x": Within(0.3, None)})) == pytest.approx(1.0)


def test_a_set_counts_each_cell_once(joints):
    joint = joints["coupled"]
    once = joint.query("g", {"c": OneOf(0.5, 2.0)}, draws=1).attrs["log_evidence"]
    twice = joint.query("g", {"c": OneOf(0.5, 0.5000000001, 0.55, 2.0)}, draws=1).attrs["log_evidence"]
    assert once == pytest.approx(twice, abs=1e-12)


@pytest.mark.parametrize("a, b", list(combinations([{"x": 0.4}, {"g": "b"}, {"n": 4}, {"p": 1.5}, {"b": 0}], 2)))
def test_chain_rule(joints, a, b):
    joint = joints["coupled"]

    def evidence(given):
        return joint.query("u", given, draws=1).attrs["log_evidence"]

    ((name, value),) = b.items()
    answer = joint.query(name, a, draws=1)
    if name in ("g", "b"):
        conditional = np.log(float(marginal(answer, name)["pmf"][{"b": 1, "a": 0, 0: 0}[value]]))
    else:
        truth = truth_of("coupled", name, a)
        if name == "p":
            share = truth.cdf(np.array([value - 0.01, value + 0.01]))
            conditional = np.log((share[1] - share[0]) / 0.02)
        else:
            conditional = np.log(truth.pmf[value])
    assert evidence({**a, **b}) == pytest.approx(evidence(a) + conditional, abs=1e-2 if name == "p" else 1e-9)


# --- batches and seeds


def test_the_same_call_gives_the_same_bits_and_another_seed_does_not(joints):
    joint = joints["coupled"]
    for given in ({"x": 0.2}, {"c": 1.0, "x": Within(0, 1)}, {"p": Soft(2.0, sd=0.5)}):
        one, again, other = (joint.query(["u", "g"], given, draws=50, seed=s) for s in (4, 4, 5))
        assert np.array_equal(one["posterior"]["u"].values, again["posterior"]["u"].values)
        assert one.attrs["log_evidence"] == again.attrs["log_evidence"]
        assert not np.array_equal(one["posterior"]["u"].values, other["posterior"]["u"].values)


def test_a_query_in_a_batch_is_the_query_alone_in_distribution(joints):
    joint = joints["coupled"]
    rows = [
        {"x": 0.2}, {"c": 1.0}, {"x": Within(0, 1), "c": 0.5}, {"p": Soft(2.0, sd=0.5)},
        {"g": "a", "n": Within(2, 4)}, {"u": Within(None, 0.5)}, {"x": Soft(0.5, sd=0.3)}, {"c": OneOf(0, 1)},
    ]  # fmt: skip
    target = {q: "u" if "u" not in row else "x" for q, row in enumerate(rows)}
    batch = joint.query(rows=rows, draws=4000, seed=1, budget=20_000)
    for q, row in enumerate(rows):
        alone = joint.query(target[q], row, draws=4000, seed=2, budget=20_000)
        a = alone["posterior"][target[q]].values.ravel()
        b = batch["posterior"][target[q]].isel(query=q).values.ravel()
        assert stats.ks_2samp(a, b).pvalue > 1e-4, row
        stat = batch["sample_stats"].isel(query=q)
        error = 5 * np.hypot(alone.attrs["log_evidence_se"], float(stat["log_evidence_se"])) + 1e-9
        assert abs(alone.attrs["log_evidence"] - float(stat["log_evidence"])) < error
        truth = SHAPES["coupled"].answer(target[q], row)
        mean, mcse = (float(batch["marginals"][f"{target[q]}_{key}"][q]) for key in ("mean", "mcse"))
        assert abs(mean - truth.mean) < 5 * mcse + 1e-3 * truth.sd, row
