"""Questions about joints whose answers are known in closed form."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import genprob
from genprob import OneOf, Soft, Within
from genprob.errors import UsageError
from genprob.testing.joints.gaussian import Gaussian
from genprob.testing.joints.network import chest_clinic
from genprob.testing.model import joint_of

COVARIANCE = np.array([[1.0, 0.6, 0.3], [0.6, 2.0, -0.4], [0.3, -0.4, 1.5]])
MEAN = np.array([0.5, -1.0, 2.0])


@pytest.fixture(scope="module")
def gaussian():
    return joint_of(Gaussian(MEAN, COVARIANCE), rows=400, seed=0)


@pytest.fixture(scope="module")
def clinic():
    return joint_of(chest_clinic(), rows=200, seed=1)


@pytest.fixture(scope="module")
def names(gaussian):
    return gaussian.schema.names


def conditional(target: int, known: list[int], value: np.ndarray) -> tuple[float, float]:
    """Mean and sd of one variable given others, by the textbook formula."""
    across = COVARIANCE[target, known] @ np.linalg.inv(COVARIANCE[np.ix_(known, known)])
    mean = MEAN[target] + across @ (value - MEAN[known])
    return float(mean), float(np.sqrt(COVARIANCE[target, target] - across @ COVARIANCE[known, target]))


# --- probability


def test_the_probability_of_an_interval_is_that_of_the_normal(gaussian, names):
    x, y, _ = names
    mean, sd = conditional(1, [0], np.array([1.5]))
    found = gaussian.probability({y: Within(-1.0, 0.5)}, {x: 1.5})
    truth = stats.norm(mean, sd).cdf(0.5) - stats.norm(mean, sd).cdf(-1.0)
    assert float(found) == pytest.approx(truth, abs=1e-6)
    assert found.coords["guarantee"] == "exact" and float(found.coords["standard_error"]) == 0


def test_without_a_closed_form_the_error_is_stated_and_holds(gaussian, names):
    _, y, z = names
    event = {y: Within(-1.0, 0.5), z: Within(None, 2.0)}
    whole = stats.multivariate_normal(MEAN[1:], COVARIANCE[1:, 1:])
    truth = whole.cdf([0.5, 2.0]) - whole.cdf([-1.0, 2.0])
    found = [gaussian.probability(event, seed=seed) for seed in range(6)]
    errors = np.array([(float(p) - truth) / float(p.coords["standard_error"]) for p in found])
    assert all(0 < p.coords["standard_error"] < 0.05 for p in found)
    assert np.abs(errors).max() < 4 and np.abs(errors).max() > 0.01


def test_labels_and_sets_are_summed(clinic):
    exact = clinic.model.reference
    above = exact.log_prob([[np.nan, np.nan, 1, 1, np.nan, np.nan, np.nan, np.nan]])
    below = exact.log_prob([[np.nan, np.nan, 1, np.nan, np.nan, np.nan, np.nan, np.nan]])
    found = clinic.probability({"lung_cancer": OneOf(1)}, {"smoking": 1})
    assert float(found) == pytest.approx(float(np.exp(above - below)[0]), rel=1e-9)


def test_a_list_of_evidence_asks_one_probability_each(clinic):
    found = clinic.probability({"bronchitis": 1}, [{"smoking": 0}, {"smoking": 1}])
    assert found.dims == ("query",)
    np.testing.assert_allclose(found, [0.3, 0.6], rtol=1e-9)


@pytest.mark.parametrize(
    ("event", "given", "words"),
    [
        ({}, {}, "no variable"),
        ({"x1": Within(0, 1)}, {"x1": 0.5}, "name it once"),
        ({"x1": 0.5}, {}, "probability zero"),
        ({"x1": Soft(0.5, sd=0.1)}, {}, "no event"),
    ],
)
def test_what_is_no_event_is_refused(gaussian, names, event, given, words):
    rename = {"x1": names[0]}
    with pytest.raises(UsageError, match=words):
        gaussian.probability({rename[k]: v for k, v in event.items()}, {rename[k]: v for k, v in given.items()})


# --- expectation


def test_an_expectation_of_a_function_lies_within_its_error(gaussian, names):
    x, y, z = names
    mean, sd = conditional(1, [0], np.array([1.5]))
    found = gaussian.expectation(lambda d: d[y] ** 2, [y, z], {x: 1.5}, draws=4000, seed=3)
    error = float(found.coords["standard_error"])
    assert 0 < error < 0.2 and abs(float(found) - (mean**2 + sd**2)) < 4 * error


def test_a_function_without_draws_is_refused(gaussian, names):
    with pytest.raises(UsageError, match="chain and draw"):
        gaussian.expectation(lambda d: d.mean(), names[0], draws=10)


# --- influence


def test_influence_is_the_divergence_between_normals(gaussian, names):
    x, y, z = names
    given = {x: 2.5, z: 2.2}
    found = gaussian.influence(y, given, draws=2000, seed=2)
    m, s = conditional(1, [0, 2], np.array([2.5, 2.2]))
    for name, rest, value in ((x, [2], [2.2]), (z, [0], [2.5])):
        n, t = conditional(1, rest, np.array(value))
        truth = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
        row = found.sel(evidence=name)
        assert abs(float(row["change"]) - truth) < 4 * float(row["standard_error"]) + 1e-9
        assert float(row["mean_without"]) == pytest.approx(n, abs=1e-6)
    assert found["evidence"].values[0] == x


def test_influence_on_a_label_is_the_divergence_of_its_probabilities(clinic):
    found = clinic.influence("bronchitis", {"smoking": 1, "asia": 1})
    truth = 0.6 * np.log(0.6 / 0.45) + 0.4 * np.log(0.4 / 0.55)
    assert float(found["change"].sel(evidence="smoking")) == pytest.approx(truth, rel=1e-6)
    assert float(found["change"].sel(evidence="asia")) == pytest.approx(0.0, abs=1e-9)


# --- surprise


def test_surprise_is_the_conditional_density_of_each_cell(gaussian, names):
    row = np.array([0.2, 3.5, 1.0])
    found = gaussian.surprise(xr.Dataset({n: ("sample", [v]) for n, v in zip(names, row, strict=True)}))
    for j, name in enumerate(names):
        rest = [k for k in range(3) if k != j]
        mean, sd = conditional(j, rest, row[rest])
        truth = -stats.norm(mean, sd).logpdf(row[j])
        assert float(found["surprise"].sel(variable=name)[0]) == pytest.approx(truth, abs=1e-6)
    assert float(found["rank"].sel(variable=names[1])[0]) > 0.98
    _, sd = conditional(1, [0, 2], row[[0, 2]])
    usual = 0.5 * np.log(2 * np.pi * np.e * sd**2)
    assert float((found["surprise"] - found["excess"]).sel(variable=names[1])[0]) == pytest.approx(usual, abs=0.2)


def test_the_ranks_of_ordinary_rows_are_uniform_and_holes_have_none(gaussian, names):
    values = gaussian.model.reference.sample(500, 9)
    values[0, 1] = np.nan
    found = gaussian.surprise({n: values[:, j] for j, n in enumerate(names)})
    rank = found["rank"].values
    assert np.isnan(rank[0, 1]) and np.isnan(found["surprise"].values[0, 1])
    assert stats.kstest(rank[1:, 2], "uniform").pvalue > 1e-3


# --- mode


def test_the_mode_of_a_normal_is_near_its_mean_and_says_what_it_is(gaussian, names):
    mean, sd = conditional(1, [0], np.array([1.5]))
    found = gaussian.mode(names[1], {names[0]: 1.5}, draws=1000)
    assert abs(float(found[names[1]]) - mean) < 0.1 * sd
    assert found.attrs["log_prob"] == pytest.approx(stats.norm(mean, sd).logpdf(mean), abs=0.01)
    assert "not an optimum" in found.attrs["caveat"]


def test_the_mode_of_a_label_is_its_likeliest_level(clinic):
    found = clinic.mode("bronchitis", {"smoking": 1})
    assert int(found["bronchitis"]) == 1 and found.attrs["log_prob"] == pytest.approx(np.log(0.6))


def test_questions_of_a_fitted_table_keep_labels_and_steps():
    rows = {"n": [1, 2, 2, 3, 3, 3, 4, 5] * 4, "g": list("aabbabab") * 4}
    joint = genprob.fit(rows, "mixture", components=2, steps=5, schema={"n": "count"})
    whole = sum(float(joint.probability({"n": 2, "g": g})) for g in "ab")
    assert whole == pytest.approx(float(joint.probability({"n": 2})), rel=1e-6)
    assert set(joint.mode(["g", "n"], draws=50).data_vars) == {"n", "g"}
