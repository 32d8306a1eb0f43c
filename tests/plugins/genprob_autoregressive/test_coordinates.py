import numpy as np
import pytest
import torch

from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Count, Positive, Real
from genprob_autoregressive.coordinates import FAR, Coordinates

SCHEMA = Schema(
    (
        Variable("n", Count()),
        Variable("x", Real()),
        Variable("p", Positive()),
        Variable("c", Real(), measure=Cell(0.5)),
        Variable("m", Count()),
    )
)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    n = 500
    x = rng.normal(size=n)
    rows = np.stack([x, np.exp(x), np.round(x * 4) / 2, rng.poisson(30, n), np.floor(np.exp(2 + 1.5 * x))], 1)
    coordinates = Coordinates(SCHEMA)
    values = torch.as_tensor(rows)
    coordinates.fit(values, torch.ones_like(values, dtype=torch.bool))
    return coordinates, values


def test_reals_come_first_and_only_skewed_counts_are_bent(fitted):
    coordinates, _ = fitted
    assert coordinates.columns == [1, 2, 3, 0, 4]
    assert coordinates.bent.tolist() == [False, True]


def test_coordinates_are_standardised_and_decode_to_the_values(fitted):
    coordinates, values = fitted
    y = coordinates.encode(values)
    assert torch.allclose(y.mean(0), torch.zeros(5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(y.std(0, correction=0), torch.ones(5, dtype=torch.float64))
    for c in range(5):
        back = coordinates.decode(c, y[:, c])
        assert torch.allclose(back, values[:, c]) and (c < 2 or torch.equal(back, values[:, c]))
        assert torch.allclose(coordinates.place(c, values[:, c]), y[:, c])


def test_cells_of_neighbours_touch_and_hold_their_value(fitted):
    coordinates, _ = fitted
    for c, step in ((2, 0.5), (3, 1.0), (4, 1.0)):
        grid = torch.ones(20, 5, dtype=torch.float64)
        grid[:, c] = step * torch.arange(20)
        lo, hi = coordinates.edges(grid)
        y = coordinates.encode(grid)
        assert torch.allclose(lo[1:, c], hi[:-1, c]) and bool(((lo < y) & (y < hi))[:, c].all())
        assert c == 2 or float(lo[0, c]) == -FAR  # whatever lies below a count of 0 is 0


def test_the_grain_of_a_real_is_the_median_gap_and_its_cell_that_wide(fitted):
    coordinates, values = fitted
    y = coordinates.encode(values)[:, 0]
    assert float(coordinates.grain[0]) == pytest.approx(float(torch.unique(y).diff().median()))
    lo, hi = coordinates.edges(values)
    assert torch.allclose((hi - lo)[:, :2], coordinates.grain[:2].expand(len(values), 2))


def test_values_far_outside_have_a_cell_too(fitted):
    coordinates, values = fitted
    far = values[:1] * 0 + 1e12
    lo, hi = coordinates.edges(far)
    assert bool((lo < hi).all()) and bool((hi <= FAR).all())
