from itertools import product

import numpy as np
import pytest

from genprob import OneOf, Soft
from genprob.query.batch import QueryBatch
from genprob.testing.joints.network import BayesianNetwork, chest_clinic

CLINIC = chest_clinic()
NAMES = CLINIC.schema.names


def by_hand(asia, tuberculosis, smoking, lung_cancer, bronchitis, either, xray, dyspnoea):
    """The published tables, written out as probabilities of "yes"."""
    yes = [
        (asia, 0.01),
        (tuberculosis, 0.05 if asia else 0.01),
        (smoking, 0.5),
        (lung_cancer, 0.1 if smoking else 0.01),
        (bronchitis, 0.6 if smoking else 0.3),
        (either, float(tuberculosis or lung_cancer)),
        (xray, 0.98 if either else 0.05),
        (dyspnoea, (0.9 if bronchitis else 0.7) if either else (0.8 if bronchitis else 0.1)),
    ]
    return np.prod([p if value else 1 - p for value, p in yes])


STATES = np.array(list(product((0, 1), repeat=8)), dtype=float)
MASS = np.array([by_hand(*state) for state in STATES])


def test_joint_is_the_product_of_the_tables():
    assert MASS.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.exp(CLINIC.log_prob(STATES)), MASS, atol=1e-15)


def test_published_marginals():
    """Lauritzen and Spiegelhalter 1988, table 2, before any evidence."""
    expected = dict(tuberculosis=0.0104, lung_cancer=0.055, bronchitis=0.45, either=0.0648, xray=0.1103, dyspnoea=0.436)
    empty = QueryBatch.empty(CLINIC.schema, 1)
    for name, p in expected.items():
        assert CLINIC.pmf(empty, name)[0, 1] == pytest.approx(p, abs=5e-5)
        assert CLINIC.marginals(empty, (name,))[name].mean[0] == pytest.approx(p, abs=5e-5)


def test_sets_and_likelihoods():
    given = {"dyspnoea": Soft({"0": 0.2, "1": 0.9}), "smoking": OneOf(1), "xray": Soft({"0": 3.0, "1": 0.5})}
    weight = MASS * np.array([0.2, 0.9])[STATES[:, 7].astype(int)] * (STATES[:, 2] == 1)
    weight = weight * np.array([3.0, 0.5])[STATES[:, 6].astype(int)]
    query = QueryBatch.from_evidence(CLINIC.schema, [given])
    assert CLINIC.log_evidence(query)[0] == pytest.approx(np.log(weight.sum()), abs=1e-12)
    pmf = CLINIC.marginals(query, ("lung_cancer",))["lung_cancer"].pmf[0]
    assert pmf[1] == pytest.approx(weight @ STATES[:, 3] / weight.sum(), abs=1e-12)
    assert CLINIC.conditional(query, 20_000, 0)[:, 3].mean() == pytest.approx(pmf[1], abs=0.015)


def test_what_the_graph_says_is_independent():
    """Tuberculosis tells nothing of smoking until an x-ray is seen."""
    empty = QueryBatch.empty(CLINIC.schema, 1)
    alone = CLINIC.pmf(empty, "smoking")[0, 1]
    rows = [{"tuberculosis": 1}, {"xray": 1}, {"xray": 1, "tuberculosis": 1}]
    given = CLINIC.pmf(QueryBatch.from_evidence(CLINIC.schema, rows), "smoking")[:, 1]
    assert given[0] == pytest.approx(alone, abs=1e-12)
    assert given[1] - given[2] > 0.1  # explained away


def test_more_than_two_levels():
    table = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    joint = BayesianNetwork({"a": ((), [0.4, 0.6]), "c": (("a",), table)}, {"c": ("low", "mid", "high")})
    query = QueryBatch.from_evidence(joint.schema, [{"c": OneOf("low", "high")}])
    assert np.exp(joint.log_evidence(query)[0]) == pytest.approx(0.4 * 0.7 + 0.6 * 0.7)
    marginal = joint.marginals(query, ("c", "a"))
    assert marginal["c"].pmf[0] == pytest.approx(np.array([0.4 * 0.2 + 0.36, 0, 0.4 * 0.5 + 0.06]) / 0.7)
    assert np.isnan(marginal["c"].mean).all()
