import torch

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob_autoregressive.levels import Levels

SCHEMA = Schema((Variable("a", Categorical(("u", "v", "w"))), Variable("x", Real()), Variable("b", Binary())))


def test_columns_lie_side_by_side():
    levels = Levels(SCHEMA)
    assert (levels.columns, levels.sizes, levels.width, levels.slice(1)) == ([0, 2], [3, 2], 5, slice(3, 5))
    codes, known = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([[True, True], [True, False]])
    assert levels.one_hot(codes, known).tolist() == [[0, 0, 1, 0, 1], [1, 0, 0, 0, 0]]


def test_frequencies_are_those_of_known_cells_smoothed_by_half_a_row():
    levels = Levels(SCHEMA)
    codes = torch.tensor([[0.0, 1.0], [0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    known = torch.tensor([[True, True], [True, True], [True, False], [False, True]])
    levels.fit(codes, known)
    expected = [2.5 / 4.5, 0.5 / 4.5, 1.5 / 4.5, 0.5 / 4, 3.5 / 4]
    assert torch.allclose(levels.log_frequency.exp(), torch.tensor(expected, dtype=torch.float64))


def test_probabilities_are_normalised_within_columns_even_at_extreme_logits():
    levels = Levels(SCHEMA)
    logits = torch.tensor([[1000.0, 999.0, -1000.0, -800.0, -800.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    got = levels.log_probs(logits)
    for part in (slice(0, 3), slice(3, 5)):
        assert torch.allclose(got[:, part], torch.log_softmax(logits[:, part], 1))
