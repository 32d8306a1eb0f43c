import numpy as np
import pytest

from genprob.errors import UsageError
from genprob_metrics.calibration import Calibration


def test_a_right_joint_covers_what_it_says(known, scores):
    joint = known.gaussian()
    result = Calibration(draws=30)(joint, known.rows(joint, 1000))
    found = scores(result)
    for level in (50, 80, 95):
        score = found[f"cover_{level}"]
        assert float(score.value) == pytest.approx(level / 100, abs=4 * float(score.error))
        assert score.ideal == level / 100 and score.better == "nearer"
        assert found[f"cover_{level}_by_share"].value.shape == (4,)
    assert float(found["p_value"].value) > 1e-3
    assert float(found["p_value"].value) == pytest.approx(min(1, 3 * found["pit_p_value"].value.min()))
    assert result.details["pit"][1].shape == (1000, 3)


def test_p_values_of_a_right_joint_are_not_too_small(known, scores):
    joint = known.gaussian(names=tuple("abcdef"))
    p = [
        float(scores(Calibration(draws=9, rows=40, seed=seed)(joint, known.rows(joint, 40, seed)))["p_value"].value)
        for seed in range(100)
    ]
    # The smallest of six p-values times six: about uniform below one half. The smallest itself were below 0.1 in 47 %.
    assert np.mean(np.array(p) < 0.1) < 0.22


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_overconfident_and_underconfident_joints_are_found(known, scores, spread):
    joint = known.gaussian(spread=spread)
    found = scores(Calibration(draws=50)(joint, known.rows(joint, 600)))
    assert float(found["p_value"].value) < 1e-4
    cover = float(found["cover_80"].value)
    assert cover < 0.6 if spread < 1 else cover > 0.9
    assert (found["pit_p_value"].value < 0.01).all() and (found["pit_distance"].value > 0.08).all()


def test_overconfident_labels_are_found(known, scores):
    joint = known.labels((0.6, 0.3, 0.1), claimed=(0.96, 0.03, 0.01))
    found = scores(Calibration(draws=60)(joint, known.rows(joint, 600)))
    assert found["pit_p_value"].value[1] < 1e-6 and found["pit_p_value"].value[0] > 1e-3
    assert found["cover_95_by_variable"].value[1] < 0.8


def test_levels_shares_rows(known, scores):
    joint = known.gaussian()
    result = Calibration(levels=(0.9, 0.975), shares=(0.5,), rows=50, draws=5, seed=3)(joint, known.rows(joint, 80))
    assert {"cover_90", "cover_97_5"} <= set(scores(result)) and len(result.rows) == 50
    for levels in ((), (1.0,), (0.5, -0.1)):
        with pytest.raises(UsageError, match="between 0 and 1"):
            Calibration(levels=levels)
