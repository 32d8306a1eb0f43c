from itertools import product

import numpy as np
import pytest
from scipy import special

from genprob import Masked
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.joints.rbm import RBM

RNG = np.random.default_rng(3)
SMALL = RBM(RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3))


def test_free_energy_sums_the_hidden_units_out():
    """All 2^7 joint states, one by one."""
    log_mass = {}
    for v in product((0, 1), repeat=4):
        terms = [
            np.dot(SMALL.visible_bias, v) + np.dot(SMALL.hidden_bias, h) + np.dot(v, SMALL.weight @ h)
            for h in product((0, 1), repeat=3)
        ]
        log_mass[v] = special.logsumexp(terms)
    total = special.logsumexp(list(log_mass.values()))
    assert SMALL.log_partition == pytest.approx(total, abs=1e-12)
    rows = np.array(list(log_mass), dtype=float)
    np.testing.assert_allclose(SMALL.log_prob(rows), np.array(list(log_mass.values())) - total, atol=1e-12)


def test_the_partition_function_is_the_same_from_the_hidden_side():
    joint = references()["rbm"]
    turned = RBM(joint.weight.T, joint.hidden_bias, joint.visible_bias)
    assert turned.log_partition == pytest.approx(joint.log_partition, rel=1e-12)


def test_an_array_is_the_same_joint_as_its_scalars():
    scalars, array = references()["rbm"], references()["rbm-array"]
    rows = scalars.sample(20, 1)
    rows[RNG.random(rows.shape) < 0.5] = np.nan
    np.testing.assert_allclose(scalars.log_prob(rows), array.log_prob(rows), atol=1e-12)
    mask = np.arange(10) < 4
    query = QueryBatch.from_evidence(array.schema, [{"v": Masked(np.ones(10), mask)}])
    row = np.where(mask, 1.0, np.nan)[None]
    assert array.log_evidence(query)[0] == pytest.approx(scalars.log_prob(row)[0], abs=1e-12)
    first = scalars.marginals(QueryBatch.from_values(scalars.schema, row), ("v7",))["v7"].mean[0]
    assert array.marginals(query, ("v",))["v"].mean[0, 6] == pytest.approx(first, abs=1e-12)


def test_too_many_units():
    with pytest.raises(UsageError, match="13 visible"):
        RBM(np.zeros((13, 2)), np.zeros(13), np.zeros(2))
