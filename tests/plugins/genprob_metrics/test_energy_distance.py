from genprob.metrics.ranks import kolmogorov
from genprob_metrics.energy_distance import EnergyDistance


def test_p_values_of_the_truth_are_uniform(p_values):
    assert kolmogorov(p_values(EnergyDistance) - 0.005)[1] > 1e-3


def test_a_wrong_joint_is_farther(known, scores):
    data = known.rows(known.labels((0.6, 0.3, 0.1)), 500)
    right, wrong = (
        scores(EnergyDistance(rows=400)(known.labels(truth), data)) for truth in ((0.6, 0.3, 0.1), (0.1, 0.3, 0.6))
    )
    assert float(wrong["energy_distance"].value) > float(right["energy_distance"].value) + 0.05
    assert float(wrong["p_value"].value) == 1 / 200 and int(wrong["energy_distance"].n) == 400
