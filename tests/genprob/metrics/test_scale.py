import numpy as np
import pytest

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Real
from genprob.metrics.scale import deviations, distances, numeric, points

SCHEMA = Schema(
    (
        Variable("x", Real()),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("n", Count()),
        Variable("k", Binary()),
    )
)


def test_numbers_are_told_from_labels():
    assert numeric(SCHEMA).tolist() == [True, False, True, False]


def test_deviations_pass_over_holes_and_constants():
    values = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [np.nan, 5.0, 2.0]])
    assert deviations(values).tolist() == [np.sqrt(2), 1.0, 1.0]


def test_the_squared_distance_counts_sd_and_differing_labels():
    a, b = np.array([[0.0, 0, 1, 1]]), np.array([[4.0, 2, 3, 1]])
    sd = np.array([2.0, 1.0, 4.0, 1.0])
    found = distances(points(SCHEMA, a, sd), points(SCHEMA, b, sd))
    assert found[0, 0] ** 2 == pytest.approx((4 / 2) ** 2 + 1 + (2 / 4) ** 2)


def test_holes_leave_the_distance_to_the_coordinates_that_both_know():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 4)), rng.standard_normal((6, 4))
    full = distances(a, b)
    assert full == pytest.approx(np.sqrt(((a[:, None] - b) ** 2).sum(-1)))
    a[0, 1] = b[2, 3] = np.nan
    found = distances(a, b)
    assert found[1:, [0, 1, 3, 4, 5]] == pytest.approx(full[1:, [0, 1, 3, 4, 5]])
    common = [0, 2]
    assert found[0, 2] == pytest.approx(np.sqrt(((a[0, common] - b[2, common]) ** 2).sum() * 2))
    a[1] = np.nan
    assert np.isnan(distances(a, b)[1]).all()
