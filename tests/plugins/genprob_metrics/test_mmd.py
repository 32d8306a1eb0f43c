import math

import numpy as np
import pytest

from genprob.errors import DataError, UsageError
from genprob.metrics.ranks import kolmogorov
from genprob_metrics.features import Features
from genprob_metrics.mmd import MMD


def test_p_values_of_the_truth_are_uniform(p_values):
    assert kolmogorov(p_values(MMD) - 0.005)[1] > 1e-3


def test_the_discrepancy_of_two_gaussians_is_the_closed_form(known, scores):
    """E k(x, y) of normals a shift apart, at kernel width 1 in standard deviations, in one dimension."""
    truth, shifted = (known.gaussian(names=("x",)) for _ in range(2))
    shifted.law = lambda rng, n: 1.5 + rng.standard_normal((n, 1))
    found = [
        float(scores(MMD(width=1.0, permutations=19, seed=s)(shifted, known.rows(truth, 300, s)))["mmd"].value)
        for s in range(30)
    ]
    across = math.exp(-0.5 * 1.5**2 / 3) / math.sqrt(3)
    assert np.mean(found) == pytest.approx(2 / math.sqrt(3) - 2 * across, abs=0.02)


def test_a_classifiers_space_weighs_what_tells_the_label(known, classes, scores):
    rng = np.random.default_rng(0)
    joint = classes(lambda rng, n: rng.standard_normal(n), 4.0)
    whole, lost = joint((0, 1, 2)), joint((0, 1))
    data = known.rows(whole, 300, 0)
    right, wrong = (scores(MMD(label="g", rows=300)(joint, data)) for joint in (whole, lost))
    assert float(wrong["p_value"].value) == 1 / 200 < float(right["p_value"].value)
    assert MMD(label="g")(whole, data).attrs["classifier_accuracy"] > 0.9
    values = data["x"].values[:, None], np.zeros((300, 1))
    space = Features(whole.schema, np.concatenate(values, 1) + [0, 1] * rng.integers(0, 2, (300, 1)), label="g", seed=0)
    assert space(np.array([[1.0, np.nan]])).shape == (1, 64)


def test_what_cannot_be_a_kernel_or_a_label_is_refused(known):
    joint = known.labels()
    data = known.rows(joint, 50)
    with pytest.raises(UsageError, match="width"):
        MMD(width=0.0)
    with pytest.raises(UsageError, match="no such variable; there are x, g"):
        MMD(label="h")(joint, data)
    with pytest.raises(UsageError, match="'x' is real"):
        MMD(label="x")(joint, data)
    one = joint.dataset(np.stack([np.arange(20.0), np.zeros(20)], 1))
    with pytest.raises(DataError, match="fewer than two"):
        MMD(label="g")(joint, one)
