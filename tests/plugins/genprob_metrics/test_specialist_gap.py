import numpy as np
import pytest

import genprob
from genprob.errors import DataError, UsageError
from genprob_metrics.specialist_gap import SpecialistGap


def linear(n, seed):
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((2, n))
    y = 0.7 * x + 0.5 * z + 0.5 * rng.standard_normal(n)
    g = np.where(y + rng.standard_normal(n) > 0, "up", "down").astype(object)
    return {"x": x, "z": z, "y": y, "g": g}


@pytest.fixture(scope="module")
def train():
    return linear(1500, 0)


@pytest.fixture(scope="module")
def joint(train):
    numbers = {k: v for k, v in train.items() if k != "g"}
    return genprob.fit(numbers, schema=dict.fromkeys(numbers, "real"), components=1)


def test_on_linear_gaussian_data_the_gap_of_the_true_family_is_about_one(joint, train, scores):
    data = linear(400, 1)
    result = SpecialistGap(train=train, variables=("y", "x"), quantiles=5, rounds=40, rows=300, draws=400)(joint, data)
    found = scores(result)
    gap = found["gap_by_variable"]
    assert list(result.coords["variable"]) == ["y", "x"]
    assert ((gap.value > 0.85) & (gap.value < 1.03)).all()
    assert float(found["gap"].value) == pytest.approx(np.exp(np.log(gap.value).mean()))
    assert (gap.error > 0).all() and (gap.error < 0.1).all() and gap.n.tolist() == [300, 300]
    ours = found["joint_by_variable"]
    sd = np.std(train["y"])  # given the rest it is 0.5
    assert ours.value[0] * sd == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.15)
    assert result.attrs["training_rows"] == result.attrs["rows_fitted"] == 1500


def test_a_joint_that_knows_nothing_of_the_others_is_far_behind(train, known, scores):
    from genprob.data.schema import Schema, Variable
    from genprob.data.support import Real

    schema = Schema((Variable("x", Real()), Variable("y", Real())))
    blind = known.Known(
        schema,
        lambda rng, n: rng.standard_normal((n, 2)),
        lambda rng, v, s: np.where(np.isnan(v)[:, None], rng.standard_normal((len(v), s, 2)), v[:, None]),
    )
    found = scores(
        SpecialistGap(train=train, variables=("y",), quantiles=5, rounds=20, rows=200, draws=100)(blind, linear(300, 2))
    )
    assert float(found["gap"].value) > 1.2


def test_labels_are_compared_by_log_loss(train, scores):
    joint = genprob.fit(train, schema={"x": "real", "z": "real", "y": "real"}, components=2, steps=30)
    result = SpecialistGap(train=train, variables="g", rounds=20, rows=200, draws=200, seed=1)(joint, linear(300, 3))
    found = scores(result)
    assert 0.6 < float(found["gap"].value) < 1.2
    assert 0.3 < float(found["specialist_by_variable"].value[0]) < 0.8
    assert result.details["joint_score"][1].shape == (200, 1)


def test_lightgbm_where_it_is_installed(joint, train, scores):
    metric = SpecialistGap(train=train, variables=("y",), specialist="lightgbm", quantiles=3, rounds=20, rows=50)
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="not installed"):
            metric(joint, linear(60, 4))
        return
    assert 0.7 < float(scores(metric(joint, linear(60, 4)))["gap"].value) < 1.3


def test_refusals(joint, train):
    with pytest.raises(UsageError, match="train=DATA"):
        SpecialistGap()
    with pytest.raises(UsageError, match="lightgbm"):
        SpecialistGap(train=train, specialist="oracle")
    with pytest.raises(UsageError, match="unknown variable"):
        SpecialistGap(train=train, variables=("q",))(joint, linear(20, 5))
    data = linear(20, 5) | {"y": np.full(20, np.nan)}
    with pytest.raises(DataError, match="known in no row"):
        SpecialistGap(train=train, variables=("y",))(joint, data)
