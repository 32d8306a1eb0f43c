"""The VAE against truth: linear, it is factor analysis; every option against the law that it names."""

import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis

import genprob
from genprob.errors import UsageError
from genprob_variational.vae import VAE

from .conftest import NAMES, Exact


@pytest.fixture(scope="module", params=["elbo", "iwae"])
def joint(request, table):
    inference = {"name": request.param, "lr": 0.04, "amortise": 1.0, "holdout": 0.0, "batch_size": 256}
    return genprob.fit(table, VAE, steps=300, inference=inference, latent=2, hidden=())


@pytest.fixture(scope="module")
def exact(joint):
    return Exact(joint.model)


def test_it_learns_as_much_as_factor_analysis_can(joint, exact, rows):
    unit = rows.std(0)
    best = FactorAnalysis(2).fit((rows - rows.mean(0)) / unit).score((rows - rows.mean(0)) / unit) - np.log(unit).sum()
    assert best - 0.06 < exact.log_prob(rows).mean() < best + 0.001


def test_log_prob_within_its_error_for_every_mask(joint, exact, rows):
    rng = np.random.default_rng(1)
    holed = np.where(rng.random((80, 5)) < 0.4, np.nan, rows[:80])
    scored = joint.log_prob({name: holed[:, i] for i, name in enumerate(NAMES)})
    error = scored["standard_error"].values
    off = (scored["log_prob"].values - exact.log_prob(holed))[error > 0] / error[error > 0]
    assert scored.attrs["kind"] == "estimate" and error.mean() < 0.1
    assert np.abs(off).max() < 4.5 and off.std() < 1.5


def test_conditionals(joint, exact, rows):
    row = np.where([True, False, True, False, True], rows[3], np.nan)
    given = {name: value for name, value in zip(NAMES, row, strict=True) if not np.isnan(value)}
    answer = joint.query(given=given, draws=4000, budget=4000)
    centre, spread = exact.conditional(row)
    drawn = np.stack([answer["posterior"][name].values.ravel() for name in ("b", "d")], 1)
    unit = np.sqrt(np.diag(spread))
    assert answer.attrs["computation"] == "ok"
    assert np.allclose((drawn.mean(0) - centre) / unit, 0, atol=0.1)
    assert np.allclose(np.cov(drawn.T) / np.outer(unit, unit), spread / np.outer(unit, unit), atol=0.1)
    assert abs(answer.attrs["log_evidence"] - exact.log_prob(row[None])[0]) < 4 * answer.attrs["log_evidence_se"]


@pytest.mark.parametrize("options", [{"latent": 0}, {"hidden": (8, 0)}, {"prior": "mixture", "components": 0}])
def test_sizes_that_are_none_are_refused(table, options):
    with pytest.raises(UsageError, match=r"at least 1"):
        genprob.fit(table, VAE, **options)
