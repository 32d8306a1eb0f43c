"""Closed form: offered by models that condition, refused for the others."""

import numpy as np

from genprob import Within


def test_models_that_cannot_condition_are_refused(sampler):
    said = {w.strategy: w for w in sampler.explain(["x"], {"g": "a"}).offers}
    assert not said["closed-form"].offered and "no conditionals in closed form" in said["closed-form"].reason
    assert not said["importance"].offered and "proposes nothing" in said["importance"].reason


def test_exact_answers_have_no_monte_carlo_error(joint):
    answer = joint.query(["x", "g", "n"], {"c": Within(0, 1.5)}, draws=700)
    attrs, node = answer.attrs, answer["marginals"]
    assert (attrs["guarantee"], attrs["log_evidence_se"], attrs["ess"]) == ("exact", 0, 700)
    assert np.isnan(attrs["khat"]) and np.isnan(attrs["rhat"])
    assert float(node["x_mcse"]) == float(node["n_mcse"]) == 0 and (node["g_pmf_mcse"].values == 0).all()


def test_draws_and_marginals_tell_the_same(joint):
    answer = joint.query(["x", "p", "u", "d", "n", "b", "g", "v"], {"c": 1.0}, draws=20_000)
    posterior, node = answer["posterior"], answer["marginals"]
    for name in ("x", "p", "u", "d", "n", "b"):
        x = posterior[name].values.ravel()
        mean, sd = float(node[f"{name}_mean"]), float(node[f"{name}_sd"])
        assert abs(x.mean() - mean) < 4.5 * sd / np.sqrt(20_000) + 1e-3 * sd, name
        assert abs(x.std() / sd - 1) < 0.06, name
        below = (x[:, None] <= node[f"{name}_quantile"].values).mean(0)
        above = (x[:, None] >= node[f"{name}_quantile"].values).mean(0)
        levels = node["quantile"].values
        assert (below >= levels - 0.02).all() and (above >= 1 - levels - 0.02).all(), name
    share = [(posterior["g"].values == v).mean() for v in "abc"]
    np.testing.assert_allclose(share, node["g_pmf"], atol=0.015)
    np.testing.assert_allclose(posterior["v"].values.mean((0, 1)), node["v_pmf"].values[:, 1], atol=0.015)
