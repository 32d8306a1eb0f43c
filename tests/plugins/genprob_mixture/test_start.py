"""What a mixture chooses by itself."""

import numpy as np
import pytest
from scipy import stats

import genprob


def factors(rows, d, seed):
    """Rows that two causes explain, and their log-density."""
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(d, 2))
    law = stats.multivariate_normal(np.zeros(d), loading @ loading.T + 0.3 * np.eye(d), seed=seed)
    values = law.rvs(rows)
    return {f"x{i}": values[:, i] for i in range(d)}, law.logpdf(values)


@pytest.mark.parametrize("components", [None, 1])
def test_few_rows_of_many_columns_get_factors(components, tmp_path):
    few, _ = factors(40, 24, 1)
    fresh, truth = factors(200, 24, 2)
    joint = genprob.fit(few, components=components, out=tmp_path / "run", model="mixture")
    assert joint.model.covariance_form == "low-rank" and "of low-rank covariance by held-out" in " ".join(joint.notes)
    lost = truth.mean() - float(joint.log_prob(fresh)["log_prob"].mean())
    full = genprob.fit(few, components=1, covariance="full", model="mixture")
    assert lost < 8 < truth.mean() - float(full.log_prob(fresh)["log_prob"].mean())
    again = genprob.load(tmp_path / "run")
    np.testing.assert_array_equal(again.log_prob(fresh)["log_prob"], joint.log_prob(fresh)["log_prob"])


def test_enough_rows_keep_full_covariances():
    assert genprob.fit(factors(300, 12, 1)[0], components=2, steps=2, model="mixture").model.covariance_form == "full"
