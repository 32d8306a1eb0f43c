import math

import numpy as np
import pytest

from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Real
from genprob.errors import DataError, UsageError
from genprob_metrics.modes import Modes

CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
SCHEMA = Schema((Variable("x", Real()), Variable("y", Real()), Variable("g", Categorical(("a", "b")))))
TABLE = {"x": CENTRES[:, 0], "y": CENTRES[:, 1]}


def joint(known, share, lost=0.0):
    """Draws a mode by its share and hits it to within .1, a part of them at random afar."""

    def law(rng, n):
        at = CENTRES[rng.choice(4, n, p=share)] + 0.1 * rng.uniform(-1, 1, (n, 2)) / math.sqrt(2)
        at[rng.random(n) < lost] = 100.0
        return np.concatenate([at, rng.integers(0, 2, (n, 1))], 1)

    return known.Known(SCHEMA, law, None)


def test_modes_goodness_and_divergence_are_those_of_the_law(known, scores):
    data = known.rows(joint(known, [0.25] * 4), 4000)
    share = np.array([0.5, 0.3, 0.2, 0.0])
    found = scores(Modes(centres=TABLE, within=0.1, draws=8000)(joint(known, share, lost=0.25), data))
    assert float(found["modes"].value) == 3 and found["modes"].ideal == 4
    assert float(found["good"].value) == pytest.approx(0.75, abs=4 * float(found["good"].error))
    held = share[share > 0]
    assert float(found["reverse_kl"].value) == pytest.approx((held * np.log(4 * held)).sum(), abs=0.04)
    right = scores(Modes(centres=TABLE, within=0.1)(joint(known, [0.25] * 4), data))
    assert float(right["reverse_kl"].value) < 0.01 and float(right["good"].value) == 1


def test_modes_are_rows_of_numbers(known):
    law = joint(known, [0.25] * 4)
    data = known.rows(law, 50)
    with pytest.raises(UsageError, match="centres=DATA"):
        Modes()
    with pytest.raises(UsageError, match="within"):
        Modes(centres=TABLE, within=0.0)
    with pytest.raises(DataError, match="no number is known of all modes"):
        Modes(centres={"g": ["a", "b"]})(law, data)
