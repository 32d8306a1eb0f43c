"""Plain draws: offered given nothing, by joints whose draws are exact; as good as independent ones."""

import numpy as np
import pytest
import torch

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Categorical, Real
from genprob.joint import Joint
from genprob.model import Model

SCHEMA = Schema((Variable("x", Real()), Variable("g", Categorical(("a", "b")))))


class Coin(Model):
    """x ~ N(2, 3), g is b with probability one quarter."""

    direct = True

    def draw(self, draws):
        return torch.stack([2 + 3 * torch.randn(draws), (torch.rand(draws) < 0.25).float()], 1).double().numpy()


def joint_of(model):
    values = torch.zeros(20, 2, dtype=torch.float64)
    batch = Batch(SCHEMA, values, torch.ones_like(values, dtype=torch.bool), torch.arange(20), 20)
    return Joint(SCHEMA, model, run=None, reference=batch, rows=20)


@pytest.mark.parametrize("draws", [1, 50, 4000])
def test_marginals_are_true_within_their_errors(draws):
    answer = joint_of(Coin(SCHEMA)).query(draws=draws, seed=3)
    told = answer["marginals"]
    assert [answer.attrs[name] for name in ("strategy", "guarantee", "computation")] == ["draws", "exact", "ok"]
    assert answer["posterior"]["x"].size == draws and answer.attrs["ess"] == draws
    assert 0 < told["x_mcse"] <= 3.5 / np.sqrt(1000) and abs(told["x_mean"] - 2) < 4 * told["x_mcse"]
    assert abs(told["x_sd"] - 3) < 0.3
    assert abs(told["g_pmf"].values[1] - 0.25) < 0.06
    assert answer.attrs["log_evidence"] == 0


def test_each_query_of_a_batch_has_draws_of_its_own():
    answer = joint_of(Coin(SCHEMA)).query(rows=[{}, {}], targets=["x"], draws=1000)
    first, second = answer["posterior"]["x"].values.reshape(2, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_whoever_knows_something_or_draws_by_chains_is_refused():
    said = {w.strategy: w for w in joint_of(Coin(SCHEMA)).explain(["x"], {"g": "a"}).offers}
    assert not said["draws"].offered and "known" in said["draws"].said.reason
    model = Coin(SCHEMA)
    model.direct = False
    assert not {w.strategy: w for w in joint_of(model).explain(["x"]).offers}["draws"].offered
