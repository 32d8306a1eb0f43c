import numpy as np
import pytest
from scipy import stats

from genprob.testing import normal

ENDS = [(-np.inf, np.inf), (-1.0, 2.0), (3.0, np.inf), (-np.inf, -5.0), (20.0, 20.1), (-30.0, -29.0), (0.1, 0.1001)]


@pytest.mark.parametrize(("a", "b"), ENDS)
def test_mass_and_quantiles(a, b):
    law = stats.truncnorm(a, b)
    mass = stats.norm.sf(a) - stats.norm.sf(b) if a > 0 else stats.norm.cdf(b) - stats.norm.cdf(a)
    assert normal.log_mass(np.array(a), np.array(b)) == pytest.approx(np.log(mass), rel=1e-6, abs=1e-12)
    u = np.array([1e-6, 0.2, 0.5, 0.9, 1 - 1e-6])
    z = normal.truncated(np.array(a), np.array(b), u)
    np.testing.assert_allclose(z, law.ppf(u), rtol=1e-6)
    assert ((z >= a) & (z <= b)).all()


def test_where_distribution_functions_are_one():
    """Forty standard deviations out: a ratio of two tails, by their asymptotic series."""
    found = normal.log_mass(np.array(40.0), np.array(41.0))
    assert found == pytest.approx(stats.norm.logsf(40.0) + np.log1p(-np.exp(-40.5)), rel=1e-12)
    z = normal.truncated(np.array(40.0), np.array(np.inf), np.array([0.5]))
    assert stats.norm.logsf(z[0]) - stats.norm.logsf(40.0) == pytest.approx(np.log(0.5), abs=1e-9)


def test_an_empty_interval():
    assert normal.log_mass(np.array(2.0), np.array(1.0)) == -np.inf


def test_density():
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(normal.log_density(x, 0.5, 2.0), stats.norm.logpdf(x, 0.5, 2.0))
