import numpy as np
import pytest

from genprob.errors import DataError, UsageError
from genprob.metrics.ranks import kolmogorov
from genprob_metrics.two_sample import TwoSample, alike


def test_draws_of_the_truth_cannot_be_told_from_rows(known, scores):
    joint = known.gaussian()
    p = [
        float(scores(TwoSample(rounds=5, seed=seed)(joint, known.rows(joint, 120, 1000 + seed)))["p_value"].value)
        for seed in range(40)
    ]
    assert kolmogorov(np.array(p))[1] > 1e-3


def test_a_wrong_joint_is_told(known, scores):
    data = known.rows(known.gaussian(0.8), 800)
    found = scores(TwoSample(rounds=30)(known.gaussian(0.0), data))
    assert float(found["p_value"].value) < 1e-4 and float(found["accuracy"].value) > 0.6
    assert found["accuracy"].ideal == 0.5 and int(found["accuracy"].n) == 800


def test_holes_do_not_give_rows_away(known, scores):
    joint = known.gaussian()
    values = joint.law(np.random.default_rng(5), 600)
    values[np.random.default_rng(6).random(values.shape) < 0.4] = np.nan
    found = scores(TwoSample(rounds=20)(joint, joint.dataset(values)))
    assert float(found["p_value"].value) > 1e-3
    _, real, fake = alike(joint, joint.dataset(values), 200, 0)
    assert len(real) == 200 and (np.isnan(real) == np.isnan(fake)).all()


def test_too_few_rows(known):
    joint = known.gaussian()
    with pytest.raises(DataError, match="needs 8"):
        TwoSample()(joint, known.rows(joint, 5))
    with pytest.raises(UsageError, match="rows"):
        TwoSample(rows=3)
