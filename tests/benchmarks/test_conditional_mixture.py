"""The references that benchmarks compare with are themselves compared with the formulas."""

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal

from benchmarks.reference import conditional_mixture, textbook
from benchmarks.reference.conditional_mixture import Parameters


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((3, 4, 4))
    table = rng.dirichlet(np.ones(3), size=3)
    return Parameters(
        np.array([0.2, 0.5, 0.3]),
        2 * rng.standard_normal((3, 4)),
        roots @ roots.transpose(0, 2, 1) + np.eye(4),
        (table,),
    )


@pytest.fixture(params=[conditional_mixture, textbook], ids=["vectorised", "textbook"])
def conditional(request):
    return request.param.conditional


def test_moments_and_labels_are_those_of_the_formulas(mixture, conditional):
    row, label, observed = np.array([0.3, 0.0, -0.5, 0.0]), np.array([0]), np.array([True, False, True, False, False])
    weights, means, seconds = [], [], []
    for k in range(3):
        m, S = mixture.means[k], mixture.covariances[k]
        gain = S[np.ix_([1, 3], [0, 2])] @ np.linalg.inv(S[np.ix_([0, 2], [0, 2])])
        weights.append(mixture.weights[k] * multivariate_normal(m[[0, 2]], S[np.ix_([0, 2], [0, 2])]).pdf(row[[0, 2]]))
        means.append(m[[1, 3]] + gain @ (row[[0, 2]] - m[[0, 2]]))
        spread = S[np.ix_([1, 3], [1, 3])] - gain @ S[np.ix_([0, 2], [1, 3])]
        seconds.append(spread + np.outer(means[-1], means[-1]))
    weights = np.array(weights) / np.sum(weights)
    n = 200_000
    reals, labels = conditional(mixture, row, label, observed, n, np.random.default_rng(1))
    assert (reals[:, [0, 2]] == row[[0, 2]]).all()
    drawn = reals[:, [1, 3]]
    second = np.einsum("k,kij->ij", weights, seconds)
    assert drawn.mean(axis=0) == pytest.approx(weights @ np.array(means), abs=5 * np.sqrt(np.diag(second) / n).max())
    assert drawn.T @ drawn / n == pytest.approx(second, abs=0.1)
    expected = n * (weights @ mixture.tables[0])
    statistic = ((np.bincount(labels[:, 0], minlength=3) - expected) ** 2 / expected).sum()
    assert statistic < chi2(2).ppf(0.999)


def test_a_given_label_moves_the_weights(mixture, conditional):
    row, observed = np.zeros(4), np.array([False, False, False, False, True])
    reals, _ = conditional(mixture, row, np.array([2]), observed, 100_000, np.random.default_rng(2))
    weights = mixture.weights * mixture.tables[0][:, 2]
    assert reals.mean(axis=0) == pytest.approx(weights / weights.sum() @ mixture.means, abs=0.05)
