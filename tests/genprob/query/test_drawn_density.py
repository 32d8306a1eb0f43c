import numpy as np
import pytest
import torch

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Real
from genprob.query.drawn_density import DrawnDensity

SCHEMA = Schema((Variable("x", Real()), Variable("y", Real()), Variable("g", Categorical(("a", "b", "c")))))


@pytest.fixture(scope="module")
def density():
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    return DrawnDensity(SCHEMA, np.stack([x, 0.9 * x + 0.4 * rng.normal(size=3000), (x > 0) + 0.0], 1))


def rows(values):
    values = torch.tensor(values, dtype=torch.float64)
    known = ~torch.isnan(values)
    return Batch(SCHEMA, values.nan_to_num(), known, torch.arange(len(values)), len(values))


def test_known_cells_are_ranked_by_their_density(density):
    nan = float("nan")
    found = density.score_rows(
        rows([[0.0, nan, nan], [4.0, nan, nan], [1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [nan, nan, 2.0]])
    )
    assert float(found[0]) == pytest.approx(-0.92, abs=0.1)
    assert found[1] < found[0] - 4 and found[3] < found[2] - 2
    assert float(found[4].exp()) == pytest.approx(0.05, abs=0.01)  # never drawn: what is spread of the others


def test_masks_hide_cells(density):
    batch = rows([[0.5, 9.0, 1.0], [0.0, 0.0, 0.0]])
    masks = torch.tensor([[True, False, False], [True, True, True]])
    seen = density.score_masks(batch, masks)
    assert seen.shape == (2, 2)
    torch.testing.assert_close(
        seen[0], density.score_rows(rows([[0.5, float("nan"), float("nan")], [0.0, float("nan"), float("nan")]]))
    )
    assert seen[1, 0] < seen[0, 0] - 20
