import numpy as np
import pytest

from genprob_metrics.log_likelihood import LogLikelihood


def test_it_is_minus_the_entropy_of_the_truth(known, scores):
    joint = known.gaussian(0.8)
    found = LogLikelihood()(joint, known.rows(joint, 3000))
    score = scores(found)["log_likelihood"]
    covariance = np.full((3, 3), 0.8) + 0.2 * np.eye(3)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert float(score.value) == pytest.approx(-entropy, abs=4 * float(score.error))
    assert float(score.error) == pytest.approx(np.sqrt(3 / 2 / 3000), rel=0.1)
    assert (score.kind, score.units, score.better, int(score.n)) == ("exact", "nats per row", "higher", 3000)
    assert score.measure == "x: lebesgue; y: lebesgue; z: lebesgue"
    assert score.cells.shape == (3000,) and found.rows is None


def test_a_wrong_joint_scores_lower(known, scores):
    right, wrong = known.gaussian(0.8), known.gaussian(0.2)
    data = known.rows(right, 400)
    values = [float(scores(LogLikelihood(seed=1)(joint, data))["log_likelihood"].value) for joint in (right, wrong)]
    assert values[0] > values[1] + 0.1


def test_rows_without_a_known_cell_do_not_count(known, scores):
    joint = known.gaussian()
    values = joint.law(np.random.default_rng(0), 50)
    blank = np.concatenate([values, np.full((50, 3), np.nan)])
    one, two = (scores(LogLikelihood()(joint, joint.dataset(v)))["log_likelihood"] for v in (values, blank))
    assert float(one.value) == pytest.approx(float(two.value)) and int(two.n) == 50
