import numpy as np
import pytest

from genprob.errors import UsageError
from genprob_metrics.memorisation import Memorisation


def test_an_honest_sampler_is_not_accused(known, scores):
    joint = known.gaussian()
    p = []
    for seed in range(60):
        train, data = known.rows(joint, 100, 500 + seed), known.rows(joint, 60, 900 + seed)
        p.append(float(scores(Memorisation(train=train, seed=seed)(joint, data))["p_value"].value))
    assert np.mean(np.array(p) < 0.1) < 0.25 and np.mean(p) > 0.35


def test_a_memoriser_is_caught(known, scores):
    honest = known.gaussian()
    train = honest.law(np.random.default_rng(1), 200)

    def repeat(rng, n):
        return train[rng.integers(len(train), size=n)] + 0.01 * rng.standard_normal((n, 3))

    joint = known.Known(honest.schema, repeat, honest.complete)
    result = Memorisation(train=joint.dataset(train), rows=150)(joint, known.rows(honest, 300))
    found = scores(result)
    assert float(found["p_value"].value) < 1e-6 and float(found["nearer"].value) > 0.9
    assert float(found["copies"].value) == 0
    assert found["nearer"].ideal == 0.5 and result.attrs["training_rows"] == 200
    assert result.details["distance_of_draws"][1].mean() < result.details["distance_of_rows"][1].mean()


def test_copies_are_counted_beyond_those_of_held_out_rows(known, scores):
    honest = known.gaussian()
    train = honest.law(np.random.default_rng(1), 200)
    joint = known.Known(honest.schema, lambda rng, n: train[rng.integers(200, size=n)], honest.complete)
    found = scores(Memorisation(train=joint.dataset(train))(joint, known.rows(honest, 100)))
    assert float(found["copies"].value) == 1
    found = scores(Memorisation(train=joint.dataset(train))(joint, joint.dataset(train)))
    assert float(found["copies"].value) == 0


def test_training_rows_are_needed():
    with pytest.raises(UsageError, match="train=DATA"):
        Memorisation()
