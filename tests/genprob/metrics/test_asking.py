import numpy as np
import pandas as pd
import pytest

import genprob
from genprob.data.table import Table
from genprob.errors import UnreliableError, UsageError
from genprob.metrics import asking
from genprob.metrics.asking import drawn, sampled, table


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200)
    return pd.DataFrame(
        {
            "km/h": 10 + x,
            "y": 2 * x + 0.1 * rng.standard_normal(200),
            "g": np.where(x > 0, "up, right", "down"),
            "n": rng.poisson(3, 200),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, 200), unit="D"),
        }
    )


@pytest.fixture(scope="module")
def joint(data):
    return genprob.fit(data, components=2, steps=20)


def test_draws_come_back_as_the_numbers_of_the_schema(joint, data):
    values = table(joint, data).values
    fake = sampled(joint, 500, 3)
    assert fake.shape == (500, 5) and not np.isnan(fake).any()
    assert fake[:, :2].mean(0) == pytest.approx(values[:, :2].mean(0), abs=0.5)
    assert set(np.unique(fake[:, 2])) <= {0.0, 1.0}
    assert abs(fake[:, 4].mean() - values[:, 4].mean()) < 30


def test_hidden_cells_are_drawn_given_the_others(joint, data):
    rows = table(joint, data)
    hidden = np.zeros(rows.values.shape, dtype=bool)
    hidden[:, 1] = True
    hidden[::2, 2] = True
    (got,) = drawn(joint, rows, hidden, 40, 0)
    assert got.values.shape == (200, 40, 5) and not got.unanswered.any() and got.failed.dtype == bool
    predicted = got.values[:, :, 1].mean(1)
    assert np.corrcoef(predicted, rows.values[:, 1])[0, 1] > 0.95
    assert (np.round(got.values[::2, :, 2].mean(1)) == rows.values[::2, 2]).mean() > 0.9


def test_chunks_cover_every_row_with_different_draws(joint, data, monkeypatch):
    rows = table(joint, data).rows(slice(0, 30))
    same = Table(rows.schema, np.repeat(rows.values[:1], 30, axis=0))
    hidden = np.zeros(same.values.shape, dtype=bool)
    hidden[:, 1] = True
    monkeypatch.setattr(asking, "_FLOATS", 10 * 20 * 5)
    parts = list(drawn(joint, same, hidden, 20, 0))
    assert [part.part for part in parts] == [slice(0, 10), slice(10, 20), slice(20, 30)]
    assert len({tuple(part.values[0, :, 1]) for part in parts}) == 3


class Fragile:
    """A joint that cannot answer some rows."""

    def __init__(self, joint, bad, error=UnreliableError):
        self.joint, self.bad, self.error, self.schema = joint, bad, error, joint.schema
        self.calls = 0

    def sample(self, draws, seed=0):
        return self.joint.sample(draws, seed=seed)

    def query(self, rows, draws, seed):
        self.calls += 1
        if self.bad(rows["n"].values):
            raise self.error("no strategy reached the evidence")
        return self.joint.query(rows=rows, draws=draws, seed=seed)


def test_a_row_that_nobody_can_answer_is_answered_as_if_nothing_were_known(joint, data):
    rows = table(joint, data)
    rows.values[7, 3] = 99
    hidden = np.zeros(rows.values.shape, dtype=bool)
    hidden[:, 1] = True
    fragile = Fragile(joint, lambda n: (n == 99).any())
    (got,) = drawn(fragile, rows, hidden, 30, 0)
    assert np.flatnonzero(got.unanswered).tolist() == [7] and np.flatnonzero(got.failed).tolist() == [7]
    assert fragile.calls < 30
    assert got.values[7, :, 1].std() > 5 * np.median(got.values[:, :, 1].std(1))


def test_where_no_row_can_be_answered_the_refusal_is_raised(joint, data):
    rows = table(joint, data).rows(slice(0, 5))
    hidden = np.zeros(rows.values.shape, dtype=bool)
    hidden[:, 1] = True
    with pytest.raises(UsageError, match="no strategy reached"):
        list(drawn(Fragile(joint, lambda n: True, UsageError), rows, hidden, 5, 0))
