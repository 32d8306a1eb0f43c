from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.grid import decimal_grid
from genprob.data.measure import Cell


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=60, unique=True),
    st.integers(0, 6),
    st.sampled_from([1, 2, 5, 25]),
    st.integers(0, 24),
)
def test_the_grid_holds_every_value_bit_for_bit(indices: list[int], decimals: int, step: int, shift: int):
    units = [shift + step * k for k in indices]
    values = np.unique([float(Decimal(u).scaleb(-decimals)) for u in units])
    grid = decimal_grid(values)
    assert grid is not None
    np.testing.assert_array_equal(grid.snap(values), values)
    index = grid.index(values)
    assert np.array_equal(index, np.rint(index)) and (np.diff(index) > 0).all()


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        (np.arange(40) * 5.0, Cell(5.0)),
        (np.arange(40) * 0.25 + 1, Cell(0.25)),
        (np.arange(40) + 0.5, Cell(1.0, 0.5)),
        (np.array([0.1, 0.3, 0.7]), Cell(0.1)),  # three values that share a step of 0.2 by chance
        (np.array([10.0, 20.0]), Cell(1.0)),
        (np.array([3.0]), Cell(1.0)),
        (np.array([0.1 + 0.2]), None),
        (np.array([1e-7]), None),
        (np.array([0.5, np.pi]), None),
        (np.array([21.3, 0.07], dtype=np.float32), Cell(0.01)),
        (np.random.default_rng(0).normal(size=9).astype(np.float32), None),
        (np.random.default_rng(0).uniform(1e3, 1e4, size=9).astype(np.float32), None),
    ],
)
def test_known_grids(values: np.ndarray, cell: Cell | None):
    assert decimal_grid(values) == cell


def test_one_stray_among_many_is_seen():
    values = np.append(np.arange(10**5) / 100, 0.123456789)
    assert decimal_grid(np.unique(values)) is None
