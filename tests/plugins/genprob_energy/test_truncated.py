"""Normal units under intervals and readings, against quadrature."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob.data.encoders import Encoder
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Positive, Real
from genprob_energy.evidence import Reading
from genprob_energy.truncated import draw_reading, draw_within

ROWS = 20_000


def test_a_union_of_intervals_is_met_in_proportion():
    torch.manual_seed(0)
    lower = torch.tensor([[-1.0, 0.5, np.inf]], dtype=torch.float64).expand(ROWS, -1)
    upper = torch.tensor([[-0.5, 2.0, -np.inf]], dtype=torch.float64).expand(ROWS, -1)
    z = draw_within(torch.full((ROWS,), 0.3).double(), torch.tensor(0.8).double(), lower, upper).numpy()
    law = stats.norm(0.3, 0.8)
    first, second = law.cdf(-0.5) - law.cdf(-1.0), law.cdf(2.0) - law.cdf(0.5)
    assert (z < 0).mean() == pytest.approx(first / (first + second), abs=0.015)
    assert (((z >= -1) & (z <= -0.5)) | ((z >= 0.5) & (z <= 2))).all()
    assert stats.kstest(z[z > 0], lambda x: (law.cdf(x) - law.cdf(0.5)) / second).pvalue > 1e-3


@pytest.mark.parametrize("cell", [None, Cell(0.5)], ids=["bent", "rounded"])
def test_a_wide_reading_of_a_bent_variable_takes_its_own_law(cell):
    """A positive read so loosely that the linear proposal is wrong: only the accept step puts it right."""
    torch.manual_seed(0)
    encoder = Encoder(Schema((Variable("x", Positive(), measure=cell),)))
    loc, scale, value, sd = 0.2, 0.9, 1.5, 1.0
    grid = np.linspace(-8, 6, 20_001)
    x = np.exp(grid)
    if cell is not None:
        x = cell.snap(x)
    mass = stats.norm.pdf(grid, loc, scale) * stats.norm.pdf(value, x, sd)
    cumulative = np.cumsum(mass) / mass.sum()
    ones = torch.ones(ROWS, dtype=torch.float64)
    reading = Reading(torch.arange(ROWS), value * ones, sd * ones)
    z = loc * ones
    for _ in range(25):
        z = draw_reading(reading, encoder, loc * ones, torch.tensor(scale).double(), z)
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        edge = grid[np.searchsorted(cumulative, level)]
        assert float((z <= edge).double().mean()) == pytest.approx(level, abs=0.015)


def test_a_reading_of_a_plain_real_is_drawn_at_once():
    torch.manual_seed(0)
    encoder = Encoder(Schema((Variable("x", Real()),)))
    ones = torch.ones(ROWS, dtype=torch.float64)
    reading = Reading(torch.arange(ROWS), 2.0 * ones, 0.5 * ones)
    z = draw_reading(reading, encoder, 0 * ones, torch.tensor(1.0).double(), 9 * ones).numpy()
    assert z.mean() == pytest.approx(1.6, abs=0.02) and z.std() == pytest.approx(np.sqrt(0.2), abs=0.02)
