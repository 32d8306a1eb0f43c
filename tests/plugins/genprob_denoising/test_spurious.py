"""Where a chain stays though no row lies there, and what walkback makes of it: exact stationary laws of both chains."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import genprob
from genprob_denoising.corruption import shown
from genprob_denoising.gsn import GSN

PAIRS, HIDE = 3, 0.1
STATES = np.array(list(itertools.product((0, 1), repeat=2 * PAIRS)))
HOLDS = (STATES[:, ::2] == STATES[:, 1::2]).all(1)


class Keeps(nn.Module):
    """A network on top of a strong wish to leave what is seen as it is, as denoisers of the form x + f(x) have it."""

    def __init__(self, network, width):
        super().__init__()
        self.network, self.width = network, width

    def forward(self, features):
        return self.network(features) + 12.0 * features[:, : self.width]


class Keeping(GSN):
    """Cells are hidden, and never altered: pairs that differ are in no row's reach."""

    def __init__(self, schema, *, hidden: tuple[int, ...] = (24,)):
        super().__init__(schema, hidden=hidden, sigma=0.0, replace=0.0, hide=HIDE)
        self.network = Keeps(self.network, schema.width)


def transitions(model):
    """The chain's transition matrix `[state, state]`, a sum over everything that hiding can leave."""
    seen = np.array(list(itertools.product((0, 1, 2), repeat=STATES.shape[1])))  # 2: hidden
    left = np.where(seen[None] == 2, HIDE, (1 - HIDE) * (seen[None] == STATES[:, None])).prod(2)
    with torch.no_grad():
        values, heads = torch.as_tensor(np.where(seen == 2, 0, seen)).double(), model._emission()
        outputs = model.network(shown(heads, values, torch.as_tensor(seen != 2)))
        one = torch.sigmoid(heads.logits(heads.shifted(outputs.double()))).numpy()
    drawn = np.where(STATES[None] == 1, one[:, None], 1 - one[:, None]).prod(2)
    return left @ drawn


def stationary(matrix):
    law = np.full(len(matrix), 1 / len(matrix))
    for _ in range(20):  # squared again and again: 2 ** 20 transitions
        matrix = matrix @ matrix
    return law @ matrix


@pytest.fixture(scope="module")
def models():
    pairs = np.repeat(np.random.default_rng(0).integers(0, 2, (3000, PAIRS)), 2, axis=1)
    data = {f"b{j}": pairs[:, j] for j in range(2 * PAIRS)}
    ways = {"dsm": {}, "walkback": {"walk": 1, "go_on": 0.3, "denoise": 0.2}}
    return {
        name: genprob.fit(
            data, Keeping, steps=600, seed=0, inference={"name": name, "lr": 2e-2, "batch_size": 128} | options
        ).model
        for name, options in ways.items()
    }


def test_walkback_takes_mass_from_states_that_no_row_has(models):
    spurious = {name: 1 - stationary(transitions(model))[HOLDS].sum() for name, model in models.items()}
    assert spurious["dsm"] > 0.04
    assert spurious["walkback"] < 0.7 * spurious["dsm"]


def test_the_matrix_is_that_of_the_transitions_that_the_model_makes(models):
    torch.manual_seed(0)
    matrix = transitions(models["dsm"])
    assert np.allclose(matrix.sum(1), 1)
    begun = torch.as_tensor(np.repeat(STATES[[0, 5, 27]], 4000, 0), dtype=torch.float64)
    after = models["dsm"].walked(begun).numpy().reshape(3, 4000, -1)
    counted = np.stack([(part[:, None] == STATES).all(2).mean(0) for part in after])
    assert np.abs(counted - matrix[[0, 5, 27]]).sum(1).max() < 0.1
