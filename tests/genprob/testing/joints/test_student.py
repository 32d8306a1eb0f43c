import numpy as np
import pytest
from scipy import stats

from genprob import Within
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.student import StudentT

JOINT = references()["student"]


def test_density_is_scipys():
    rows = JOINT.sample(50, 1)
    law = stats.multivariate_t(JOINT.mean, JOINT.scale, df=JOINT.df)
    np.testing.assert_allclose(JOINT.log_prob(rows), law.logpdf(rows), atol=1e-10)


def test_draws_are_a_scale_mixture_of_normals():
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(np.zeros(3), JOINT.scale, 20_000)
    rows = JOINT.mean + z * np.sqrt(JOINT.df / rng.chisquare(JOINT.df, (20_000, 1)))
    drawn = JOINT.sample(20_000, 3)
    for direction in np.random.default_rng(1).normal(size=(4, 3)):
        assert stats.ks_2samp(rows @ direction, drawn @ direction).pvalue > 1e-3


def test_the_scale_grows_with_the_surprise():
    """What tells a t from a Gaussian: given an odd value the rest is less certain."""
    usual, odd = (JOINT.conditional(np.array([x, np.nan, np.nan]), 20_000, 1)[:, 1] for x in (0.0, 8.0))
    wide = (JOINT.df + 64.0) / (JOINT.df + 1)  # the scale of x1 is one
    narrow = JOINT.df / (JOINT.df + 1)
    ratio = np.subtract(*np.quantile(odd, [0.75, 0.25])) / np.subtract(*np.quantile(usual, [0.75, 0.25]))
    assert ratio == pytest.approx(np.sqrt(wide / narrow), rel=0.05)


@pytest.mark.parametrize("ends", [(-0.5, 1.0), (4.0, None), (None, -6.0), (30.0, 31.0)])
def test_intervals(ends):
    joint = StudentT(3.0, [0.5, 0.0], [[2.0, 1.0], [1.0, 1.5]])
    query = QueryBatch.from_evidence(joint.schema, [{"x1": Within(*ends)}])
    low, high = (-np.inf if ends[0] is None else ends[0]), (np.inf if ends[1] is None else ends[1])
    law = stats.t(3.0, 0.5, np.sqrt(2.0))
    mass = law.sf(low) - law.sf(high) if low > 0.5 else law.cdf(high) - law.cdf(low)
    assert joint.log_evidence(query)[0] == pytest.approx(np.log(mass), abs=1e-9)
    draws = joint.conditional(query, 4000, 2)
    x = draws[:, 0]
    assert ((x >= low) & (x <= high)).all()
    place = (law.sf(low) - law.sf(x)) / mass if low > 0.5 else (law.cdf(x) - law.cdf(low)) / mass
    assert stats.kstest(place, "uniform").pvalue > 1e-3
    given = stats.t.cdf(  # x2 given x1 is t with one more degree of freedom
        (draws[:, 1] - 0.5 * (x - 0.5)) / np.sqrt((3 + (x - 0.5) ** 2 / 2) / 4 * (1.5 - 0.5)), 4.0
    )
    assert stats.kstest(given, "uniform").pvalue > 1e-3
