"""Queries of fitted programs against conjugate algebra: parameters, rows, latents, and evidence on any of them."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import special, stats

import genprob
from genprob.errors import UsageError

X = np.random.default_rng(2).normal(1.5, 1.0, 12)
METHOD = {"name": "nuts", "chains": 8, "warmup": 150}


class Mean(genprob.Model):
    """Rows of known spread around an unknown mean, a noisy copy of each, and a code between them."""

    def model(self, batch):
        mu = pyro.sample("mu", dist.Normal(0.0, 2.0))
        pyro.deterministic("double", 2 * mu)
        with batch.plate():
            pyro.sample("x", dist.Normal(mu, 1.0), obs=batch["x"])
            pyro.sample("y", dist.Normal(batch["x"] + 1.0, 0.5), obs=batch["y"])


@pytest.fixture(scope="module")
def mean(tmp_path_factory):
    y = X + 1 + 0.5 * np.random.default_rng(3).normal(size=12)
    out = tmp_path_factory.mktemp("mean") / "run"
    schema = {"x": "real", "y": "real"}
    genprob.fit({"x": X, "y": y}, Mean, out=out, inference=METHOD, schema=schema, steps=750, seed=1)
    return genprob.load(out)


@pytest.fixture(scope="module")
def law():
    """(mu, x, y) of a new row, given the rows fitted."""
    variance = 1 / (0.25 + len(X))
    m = variance * X.sum()
    v = variance
    covariance = np.array([[v, v, v], [v, v + 1, v + 1], [v, v + 1, v + 1.25]])
    return stats.multivariate_normal([m, m, m + 1], covariance)


def given(law, index, value):
    rest = [i for i in range(3) if i not in index]
    gain = law.cov[np.ix_(rest, index)] @ np.linalg.inv(law.cov[np.ix_(index, index)])
    return law.mean[rest] + gain @ (value - law.mean[index]), law.cov[np.ix_(rest, rest)] - gain @ law.cov[
        np.ix_(index, rest)
    ]


def close(answer, name, mean, sd):
    marginal = answer["marginals"]
    assert abs(float(marginal[f"{name}_mean"]) - mean) < 4.5 * float(marginal[f"{name}_mcse"])
    assert float(marginal[f"{name}_sd"]) == pytest.approx(sd, rel=0.12)


def test_parameters_are_the_draws_of_the_fit(mean, law):
    answer = mean.query(["mu", "double"])
    drawn, kept = answer["posterior"]["mu"], mean.posterior["posterior"]["mu"]
    assert drawn.dims == ("chain", "draw") and drawn.sizes["chain"] == 8 and answer.attrs["guarantee"] == "consistent"
    assert answer.attrs["law"] == "posterior predictive"
    assert all(np.isin(drawn.values[chain], kept.values[chain]).all() for chain in range(8))
    close(answer, "mu", law.mean[0], law.cov[0, 0] ** 0.5)
    assert np.allclose(answer["posterior"]["double"], 2 * drawn)
    assert answer.attrs["computation"] == "ok" and answer.attrs["rhat"] < 1.01 and answer.attrs["ess"] > 500
    assert mean.query(["mu"], draws=8 * 600)["posterior"]["mu"].sizes["draw"] == 600


def test_a_new_row_reweights_them_and_is_predicted(mean, law):
    centre, spread = given(law, [1], np.array([3.0]))
    answer = mean.query(["mu", "y"], {"x": 3.0})
    close(answer, "mu", centre[0], spread[0, 0] ** 0.5)
    close(answer, "y", centre[1], spread[1, 1] ** 0.5)
    assert float(answer["posterior"]["mu"].mean()) == pytest.approx(centre[0], abs=5 * (spread[0, 0] / 1000) ** 0.5)
    exact = stats.norm(law.mean[1], law.cov[1, 1] ** 0.5).logpdf(3.0)
    assert abs(answer.attrs["log_evidence"] - exact) < 4.5 * answer.attrs["log_evidence_se"] + 1e-3
    centre, spread = given(law, [2], np.array([1.0]))
    close(mean.query(["x"], {"y": 1.0}, budget=4000), "x", centre[1], spread[1, 1] ** 0.5)
    drawn = mean.query(draws=4000)["posterior"]
    together = np.cov(drawn["x"].values.ravel(), drawn["y"].values.ravel())
    assert np.allclose(together, law.cov[1:, 1:], atol=0.15)


def test_soft_evidence_on_a_parameter_and_probabilities(mean, law):
    wide = stats.multivariate_normal(law.mean, law.cov + np.diag([0.09, 0, 0]))
    centre, spread = given(wide, [0], np.array([2.0]))
    close(mean.query(["x"], {"mu": genprob.Soft(2.0, sd=0.3)}), "x", centre[0], spread[0, 0] ** 0.5)
    exact = stats.norm(law.mean[0], law.cov[0, 0] ** 0.5).sf(1.5)
    found = mean.probability({"mu": genprob.Within(1.5, None)})
    assert abs(float(found) - exact) < 4.5 * float(found["standard_error"])


def test_rows_are_scored_and_sampled_under_the_predictive_law(mean, law):
    scored = mean.log_prob({"x": [0.0, 2.5], "y": [1.5, np.nan]})
    exact = [stats.multivariate_normal(law.mean[1:], law.cov[1:, 1:]).logpdf([0.0, 1.5])]
    exact.append(stats.norm(law.mean[1], law.cov[1, 1] ** 0.5).logpdf(2.5))
    assert scored.attrs["kind"] == "estimate" and scored.attrs["law"] == "posterior predictive"
    assert (abs(scored["log_prob"].values - exact) < 4.5 * scored["standard_error"].values + 0.01).all()
    drawn = mean.sample(4000, seed=3)
    assert np.allclose(np.cov(drawn["x"], drawn["y"]), law.cov[1:, 1:], atol=0.15)


def test_evidence_beyond_the_reach_of_the_draws_fails_and_says_what_to_do(mean):
    answer = mean.query(["mu"], {"x": 40.0})
    assert answer.attrs["computation"] == "fail" and answer.attrs["reliable"] == 0
    assert "fit again with these rows" in answer.attrs["reasons"] or "effective draws" in answer.attrs["reasons"]


def test_what_cannot_be_asked_is_said(mean):
    with pytest.raises(UsageError, match="'mu' is a parameter, known by draws: give Within"):
        mean.query(["x"], {"mu": 1.0})
    words = mean.explain(["mu"], {"x": 1.0})
    assert words.chosen == "posterior" and mean.variables["mu"].role == "parameter"


class Regression(genprob.Model):
    """A line through rows whose x is given, each row with an offset of its own."""

    def model(self, batch):
        slope = pyro.sample("slope", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        with batch.plate():
            offset = pyro.sample("offset", dist.Normal(0.0, 0.3))
            pyro.sample("y", dist.Normal(slope[0] + slope[1] * batch["x"] + offset, 0.4), obs=batch["y"])


def test_covariates_and_latents_of_a_new_row():
    rng = np.random.default_rng(0)
    x = rng.normal(size=15)
    y = 0.5 - x + 0.5 * rng.normal(size=15)
    joint = genprob.fit(
        {"x": x, "y": y}, Regression, inference=METHOD, schema={"x": "real", "y": "real"}, steps=650, seed=2
    )
    design = np.c_[np.ones(15), x]
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / 0.25)
    centre = covariance @ design.T @ y / 0.25
    answer = joint.query(["slope"])
    assert answer["posterior"]["slope"].dims == ("chain", "draw", "slope_dim_0")
    off = answer["marginals"]["slope_mean"].values - centre
    assert (abs(off) < 4.5 * answer["marginals"]["slope_mcse"].values).all()
    row = np.array([1.0, 2.0])
    predicted = row @ covariance @ row
    close(joint.query(["y"], {"x": 2.0}), "y", row @ centre, (predicted + 0.25) ** 0.5)
    gain = 0.09 / (predicted + 0.25)
    close(joint.query(["offset"], {"x": 2.0, "y": 0.0}), "offset", -gain * (row @ centre), (0.09 * (1 - gain)) ** 0.5)
    answer = joint.query(["y"], {"x": 2.0, "offset": 0.5})
    close(answer, "y", row @ centre + 0.5, (predicted + 0.16) ** 0.5)
    assert answer.attrs["log_evidence"] == pytest.approx(stats.norm.logpdf(0.5, 0, 0.3))
    with pytest.raises(UsageError, match="takes 'x' as given and has no law of it: give its value"):
        joint.query(["y"], strategy="posterior")
    assert 0.5 < float(joint.probability({"slope": genprob.Within(None, 0.9)})) <= 1  # no x has to be said
    answer = joint.query(["y"])  # over the x of the rows fitted
    assert answer.attrs["strategy"] == "rejection"
    mixed = np.c_[np.ones(15), x]
    assert float(answer["posterior"]["y"].mean()) == pytest.approx((mixed @ centre).mean(), abs=0.2)
    assert joint.sample(50)["y"].shape == (50,)


class Assigned(genprob.Model):
    """Two components whose places are known up to a shift; the one of each row is summed out."""

    def model(self, batch):
        shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
        with batch.plate():
            k = pyro.sample("k", dist.Categorical(torch.tensor([0.3, 0.7])))
            pyro.sample("x", dist.Normal(torch.tensor([-2.0, 2.0])[k] + shift, 0.7), obs=batch["x"])


def test_assignments_by_enumeration_and_quadrature():
    x = np.array([-1.2, 2.6, 1.9, -1.8, 3.1, 2.2])
    joint = genprob.fit({"x": x}, Assigned, inference=METHOD, schema={"x": "real"}, steps=650, seed=3)
    grid = np.linspace(-4, 4, 4001)
    each = [np.log(w) + stats.norm.logpdf(x[:, None], c + grid, 0.7) for w, c in ((0.3, -2.0), (0.7, 2.0))]
    log = stats.norm.logpdf(grid) + np.logaddexp(*each).sum(0)
    weight = special.softmax(log)
    centre = weight @ grid
    close(joint.query(["shift"]), "shift", centre, (weight @ (grid - centre) ** 2) ** 0.5)
    new = [np.log(w) + stats.norm.logpdf(0.4, c + grid, 0.7) for w, c in ((0.3, -2.0), (0.7, 2.0))]
    table = np.exp([special.logsumexp(np.log(weight) + part) for part in new])
    answer = joint.query(["k"], {"x": 0.4}, budget=4000)
    assert np.allclose(answer["marginals"]["k_pmf"].values, table / table.sum(), atol=0.05)
    assert joint.schema["x"].cell.delta == 0.1  # the rows are rounded, so that values have probabilities
    off = answer.attrs["log_evidence"] - np.log(0.1 * table.sum())
    assert abs(off) < 4.5 * answer.attrs["log_evidence_se"]
    answer = joint.query(["x"], {"k": "0"})
    close(answer, "x", centre - 2, (weight @ (grid - centre) ** 2 + 0.49) ** 0.5)
    assert answer.attrs["log_evidence"] == pytest.approx(np.log(0.3), abs=1e-6)


class Tangled(genprob.Model):
    """y is drawn before x, which it depends on; and a flag of the whole."""

    def model(self, batch):
        mu = pyro.sample("mu", dist.Normal(0.0, 2.0))
        with batch.plate():
            pyro.sample("y", dist.Normal(batch["x"] + mu, 0.5), obs=batch["y"])
            pyro.sample("x", dist.Normal(mu, 1.0), obs=batch["x"])


class Flagged(genprob.Model):
    """A discrete unknown of the whole."""

    def model(self, batch):
        flag = pyro.sample("flag", dist.Bernoulli(0.5))
        mu = pyro.sample("mu", dist.Normal(0.0, 2.0))
        with batch.plate():
            pyro.sample("x", dist.Normal(mu + flag, 1.0), obs=batch["x"])
            pyro.sample("y", dist.Normal(mu, 1.0), obs=batch["y"])


@pytest.mark.parametrize(
    ("model", "told"),
    [(Tangled, "draws 'y' before 'x', which it depends on; put 'x' first"), (Flagged, "'flag' was summed out")],
)
def test_programs_whose_rows_cannot_be_predicted_still_have_parameters(model, told):
    method = {"name": "nuts", "chains": 4, "warmup": 30}
    joint = genprob.fit(
        {"x": X, "y": X + 1}, model, inference=method, schema={"x": "real", "y": "real"}, steps=60, seed=1
    )
    assert joint.query(["mu"])["posterior"]["mu"].sizes["chain"] == 4
    with pytest.raises(UsageError, match=told):
        joint.query(["y"], {"x": 1.0})
    with pytest.raises(UsageError, match=told):
        joint.sample(3)


def test_a_fit_that_is_too_short_is_doubted_by_every_strategy(tmp_path):
    schema = {"x": "real", "y": "real"}
    short = {"name": "nuts", "chains": 8, "warmup": 2}
    joint = genprob.fit({"x": X, "y": X + 1}, Mean, out=tmp_path / "run", inference=short, schema=schema, steps=10)
    told = [joint.query(["y"], evidence) for evidence in ({"x": 1.5}, {"x": genprob.Within(1, 2)})]
    assert {answer.attrs["strategy"] for answer in told} == {"posterior", "rejection"}
    assert all(a.attrs["reliable"] == 0 and "R-hat" in a.attrs["reasons"] for a in told)
    assert all(a.attrs["reasons"].count("R-hat") == 1 for a in told)
    scored = joint.log_prob({"x": X, "y": X + 1})
    assert scored.attrs["reliable"] == 0 and "R-hat" in scored.attrs["reasons"]
    far = joint.query(["mu"], {"x": 60.0, "y": 61.0}).attrs["reasons"]
    assert "R-hat" in far and ("k-hat" in far or "effective draws" in far)


class Line(genprob.Model):
    """A slope; `x` is a covariate, of which the program has no law."""

    def model(self, batch):
        slope = pyro.sample("slope", dist.Normal(0.0, 2.0))
        with batch.plate():
            pyro.sample("y", dist.Normal(slope * batch["x"], 0.5), obs=batch["y"])


def test_rows_of_which_some_cannot_be_answered_are_evaluated_by_as_many_draws_as_asked():
    schema = {"x": "real", "y": "real"}
    rows = {"x": X, "y": 2 * X}
    joint = genprob.fit(rows, Line, inference=METHOD, schema=schema, steps=200)
    assert "masked" in genprob.evaluate(joint, rows, "masked", draws=30)
