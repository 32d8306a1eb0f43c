from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprob.data.measure import Cell, Counting, Lebesgue, parse
from genprob.errors import UsageError

cells = st.builds(
    lambda step, decimals, shift: Cell(step / 10**decimals, (shift % step) / 10**decimals),
    st.integers(1, 500),
    st.integers(0, 6),
    st.integers(0, 499),
)


@given(cells)
def test_text_reads_back_exactly(cell: Cell):
    assert parse(cell.text()) == cell


@given(cells, st.lists(st.integers(-(10**6), 10**6), min_size=1))
def test_table_values_come_back_bit_for_bit(cell: Cell, indices: list[int]):
    exact = [Decimal(repr(cell.offset)) + k * Decimal(repr(cell.delta)) for k in indices]
    values = np.array([float(value) for value in exact])
    np.testing.assert_array_equal(cell.index(values), indices)
    np.testing.assert_array_equal(cell.snap(values), values)


def test_edges_and_spans():
    cell = Cell(0.1)
    lower, upper = cell.edges(np.array([0.3]))
    np.testing.assert_allclose([lower[0], upper[0]], [0.25, 0.35])
    lo, hi = cell.span(np.array([0.3]), np.array([0.55]))
    np.testing.assert_allclose([lo[0], hi[0]], [0.25, 0.55])
    lo, hi = cell.span(np.array([0.31]), np.array([0.39]))
    assert hi[0] < lo[0]


def test_words():
    assert parse("counting") == Counting()
    assert parse(" lebesgue ") == Lebesgue()
    for text in ("", "cells", "cell", "cell()", "cell(a)", "cell(0)", "cell(-1)", "cell(1,2,3)"):
        with pytest.raises(UsageError):
            parse(text)
