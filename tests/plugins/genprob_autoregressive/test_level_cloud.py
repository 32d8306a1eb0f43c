"""Answers whose levels are all listed: exact but for draws within a level."""

import numpy as np
import pytest

import genprob
from genprob_autoregressive.made import MADE


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.6
    rows = {
        "a": a,
        "c": np.where(rng.random(400) < 0.3 + 0.4 * a, "p", "q"),
        "u": rng.normal(size=400) + a,
    }
    return genprob.fit(rows, MADE, steps=60, hidden=(16,), bins=4)


def test_the_mean_of_a_label_has_no_error_and_that_of_a_number_the_error_within_its_bins(joint):
    found = [joint.query(["a", "u"], {"c": "p"}, draws=50, seed=seed)["marginals"] for seed in range(12)]
    assert all(float(m["a_mcse"]) == 0 for m in found) and len({float(m["a_mean"]) for m in found}) == 1
    spread = np.std([float(m["u_mean"]) for m in found], ddof=1)
    claimed = float(np.mean([float(m["u_mcse"]) for m in found]))
    assert 0 < claimed < 0.2 and 0.5 < spread / claimed < 2.0
