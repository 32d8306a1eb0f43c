import numpy as np
import pytest

from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.errors import DataError, UsageError
from genprob.metrics.masks import SHARES, Masks, checked


def of(names, shape=()):
    return Schema(tuple(Variable(n, Real(), dims=("i",) * len(shape), shape=shape) for n in names))


def test_every_share_is_met_on_average_and_one_cell_at_least_is_asked():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2000, 6))
    values[rng.random(values.shape) < 0.2] = np.nan
    masks = Masks.random(of("abcdef"), values, SHARES, 2000, 1)
    known = ~np.isnan(values[masks.rows])
    assert not (masks.hidden & ~known).any()
    assert masks.hidden.any(1).all()
    counts = np.bincount(masks.stratum)
    assert counts.max() - counts.min() <= 1
    for k, share in enumerate(SHARES[:3]):
        mine = masks.stratum == k
        kept = (known & ~masks.hidden)[mine].sum() / known[mine].sum()
        assert kept == pytest.approx(share, abs=0.02)
    assert (masks.hidden[masks.stratum == 3].sum(1) == 1).all()


def test_every_cell_is_hidden_alike():
    masks = Masks.random(of("abcd"), np.zeros((4000, 4)), (0.5,), 4000, 0)
    assert masks.hidden.mean(0) == pytest.approx(0.5, abs=0.03)


def test_joints_that_order_variables_otherwise_are_asked_alike():
    values = np.random.default_rng(1).standard_normal((50, 3))
    one = Masks.random(of("abc"), values, SHARES, 40, 7)
    two = Masks.random(of("cab"), values[:, [2, 0, 1]], SHARES, 40, 7)
    assert (one.rows == two.rows).all() and (one.stratum == two.stratum).all()
    assert (one.hidden[:, [2, 0, 1]] == two.hidden).all()
    other = Masks.random(of("abc"), values, SHARES, 40, 8)
    assert (one.rows != other.rows).any() or (one.hidden != other.hidden).any()


def test_rows_are_limited_sorted_and_have_something_left_to_give():
    values = np.full((30, 3), 1.0)
    values[:10, 1:] = np.nan
    masks = Masks.random(of("abc"), values, SHARES, 8, 0)
    assert len(masks.rows) == 8 and (np.diff(masks.rows) > 0).all() and masks.rows.min() >= 10
    with pytest.raises(DataError, match="two known cells"):
        Masks.random(of("abc"), values[:10], SHARES, 8, 0)
    assert Masks.random(of("a"), np.ones((3, 1)), (0.5,), 8, 0).hidden.all()


def test_share_zero_hides_everything_and_cells_of_arrays_are_hidden_one_by_one():
    assert Masks.random(of("ab"), np.ones((5, 2)), (0.0,), 5, 0).hidden.all()
    masks = Masks.random(of("a", (9,)), np.ones((200, 9)), (0.5,), 200, 0)
    assert 0 < masks.hidden.mean() < 1 and masks.hidden.any(1).all()


@pytest.mark.parametrize("shares", [(), (1.5,), (-0.1, 0.5), ("x",), (float("nan"),)])
def test_shares_that_are_none(shares):
    with pytest.raises(UsageError, match="between 0 and 1"):
        checked(shares)


def test_parts_follow_the_strata():
    masks = Masks(np.arange(3), np.ones((3, 1), dtype=bool), np.array([1, 0, 1]))
    assert [part.tolist() for part in masks.parts(np.array([5.0, 6.0, 7.0]), (0.5, 1.0))] == [[6.0], [5.0, 7.0]]
