import numpy as np
import pytest

from genprob.metrics import bootstrap
from genprob.metrics.bootstrap import paired_bootstrap, resampled


def test_paired_bootstrap_covers_the_true_difference_and_uses_the_pairing():
    hits, widths = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        theirs = rng.standard_normal((200, 3)) * 10
        ours = theirs + 0.5 + rng.standard_normal((200, 3))
        hole = rng.random((200, 3)) < 0.3
        ours[hole] = theirs[hole] = np.nan
        mean, low, high = paired_bootstrap(ours, theirs, resamples=400, seed=seed)
        assert low < mean < high
        hits += low <= 0.5 <= high
        widths.append(high - low)
    assert 85 <= hits <= 100
    assert np.mean(widths) < 0.3  # unpaired it would be about 3


def test_a_higher_level_is_wider():
    rng = np.random.default_rng(0)
    ours, theirs = rng.standard_normal((2, 300))
    narrow, wide = (paired_bootstrap(ours, theirs, level=level) for level in (0.5, 0.99))
    assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_memory_does_not_change_the_spread(monkeypatch):
    x = np.random.default_rng(1).standard_normal(200)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 1000)
    found = resampled(200, lambda rows: x[rows].mean(1), 2000, 0)
    assert found.shape == (2000,)
    assert found.std() == pytest.approx(x.std() / np.sqrt(200), rel=0.1)
    assert len(np.unique(found)) > 1900
