import numpy as np
import pytest
from scipy import stats

from genprob import OneOf, Soft, Within
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.likelihood import log_likelihood

SCHEMA = references()["circuit"].schema  # x p c g n f
ROWS = np.array([[0.4, 1.0, -0.5, 0, 3, 1], [1.6, 2.0, 1.0, 2, 0, 0]], dtype=float)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"x": Within(0.4, 1.0)}, [1, 0]),
        ({"x": Within(None, 1.6)}, [1, 1]),
        ({"c": Within(-0.5, 0.0)}, [1, 0]),
        ({"c": 1.1}, [0, 1]),
        ({"c": OneOf(-0.6, 3)}, [1, 0]),
        ({"n": OneOf(0, 5)}, [0, 1]),
        ({"n": Within(3, None), "f": 1}, [1, 0]),
        ({"g": OneOf("a", "b")}, [1, 0]),
        ({"g": Soft({"a": 0.2, "c": 0.5})}, [0.2, 0.5]),
        ({"p": Soft(1.5, sd=0.3), "f": Soft({"1": 2.0})}, [2 * stats.norm.pdf(1.5, 1.0, 0.3), 0]),
        ({}, [1, 1]),
    ],
    ids=str,
)
def test_rows_meet_evidence_as_defined(given, expected):
    queries = QueryBatch.from_evidence(SCHEMA, [given, {"x": Within(0.0, 0.5)}])
    found = np.exp(log_likelihood(queries, ROWS[None]))
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    np.testing.assert_allclose(found[1], [1, 0], atol=1e-12)


def test_rows_of_their_own_for_each_query():
    queries = QueryBatch.from_evidence(SCHEMA, [{"n": 3}, {"n": 3}])
    found = log_likelihood(queries, np.stack([ROWS, ROWS[::-1]]))
    assert found.tolist() == [[0.0, -np.inf], [-np.inf, 0.0]]
