"""The any-order network as a whole: training scores, joints, holes, the program, supports."""

import itertools

import numpy as np
import pytest
import torch
from pyro import poutine

import genprob
from genprob.data.batch import Batch
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob_autoregressive.masks import MOST, random_masks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    return shaken(mixed, stated={"income": {"support": "real", "measure": "lebesgue"}, "age": "cell(1)"})


def some(joint, rows=9, seed=3):
    """A batch of rows, and which of their cells are shown."""
    batch = joint.reference.take(torch.arange(rows))
    return batch, torch.as_tensor(np.random.default_rng(seed).random(batch.observed.shape) < 0.5)


def test_cells_in_training_have_the_laws_of_queries(joint):
    batch, shown = some(joint)
    scored = joint.model.log_cells(batch.values, shown).detach().double()
    contexts = joint.model.contexts(batch.values, shown)
    for j in range(joint.schema.width):
        law = contexts.law(j).log_prob(batch.values[:, j])
        assert torch.allclose(law[~shown[:, j]], scored[~shown[:, j], j], atol=2e-3)


def test_hidden_cells_tell_nothing(joint):
    batch, shown = some(joint)
    other = torch.where(shown, batch.values, joint.reference.values[20:29])
    for j in range(joint.schema.width):
        one, two = (joint.model.contexts(v, shown).law(j) for v in (batch.values, other))
        assert torch.equal(one.log_prob(batch.values[:, j]), two.log_prob(batch.values[:, j]))


def test_masks_show_each_number_of_cells_equally_often_and_are_few():
    torch.manual_seed(0)
    masks = torch.stack([random_masks(512, 8, CPU) for _ in range(50)])
    assert all(len(torch.unique(m, dim=0)) <= MOST for m in masks)
    share = torch.bincount(masks.sum(2).flatten(), minlength=9).double() / masks[..., 0].numel()
    assert torch.allclose(share[:8], torch.full((8,), 1 / 8, dtype=torch.float64), atol=0.01) and share[8] == 0
    assert torch.allclose(masks.double().mean((0, 1)), torch.full((8,), 3.5 / 8, dtype=torch.float64), atol=0.02)


def test_natural_holes_are_no_input_and_no_target(joint):
    batch, _ = some(joint, rows=40)
    holes = torch.as_tensor(np.random.default_rng(5).random(batch.observed.shape) < 0.3)
    filled = torch.where(holes, joint.reference.values[100:140], batch.values)
    scores = []
    for values in (batch.values, filled):
        torch.manual_seed(1)
        part = Batch(joint.schema, values, ~holes, batch.index, batch.total)
        scores.append(joint.model.log_density(part).detach())
    assert torch.equal(*scores) and bool(torch.isfinite(scores[0]).all())
    empty = Batch(joint.schema, batch.values, torch.zeros_like(batch.observed), batch.index, batch.total)
    assert not joint.model.log_density(empty).detach().any()


def test_validation_is_the_same_for_the_same_parameters_and_leaves_random_numbers_alone(joint):
    batch, _ = some(joint, rows=30)
    before = torch.get_rng_state()
    assert torch.equal(joint.model.validate(batch), joint.model.validate(batch))
    assert torch.equal(torch.get_rng_state(), before)


def test_probabilities_of_a_small_mixed_table_add_up_along_every_order(shaken, mixed):
    table = {name: mixed[name] for name in ("member", "g", "visits")}
    joint = shaken({**table, "visits": np.minimum(table["visits"], 4)}, stated={"visits": "count"}, orders=6)
    states = np.array(list(itertools.product(range(2), range(3), range(400))), dtype=float)
    values = torch.as_tensor(states)
    for order in itertools.permutations(range(3)):
        known, total = torch.zeros_like(values, dtype=torch.bool), torch.zeros(len(values), dtype=torch.float64)
        for j in order:
            total += joint.model.contexts(values, known).law(j).log_prob(values[:, j])
            known[:, j] = True
        assert abs(float(total.exp().sum()) - 1) < 1e-3
    found = joint.model.log_evidence(QueryBatch.from_values(joint.schema, states))
    assert found.kind == "exact" and abs(np.exp(found.value).sum() - 1) < 1e-3


def test_the_program_scores_and_samples_site_by_site(joint):
    batch, _ = some(joint)
    observed = batch.observed.clone()
    observed[0, 1] = observed[2, 4] = False
    batch = Batch(joint.schema, batch.values, observed, batch.index, len(batch))
    with running(Randomness(0)):
        trace = poutine.trace(joint.model.model).get_trace(batch)
        free = poutine.trace(poutine.uncondition(joint.model.model)).get_trace(batch)
    total = torch.zeros(len(batch), dtype=torch.float64)
    known = torch.zeros_like(observed)
    for j, name in enumerate(joint.schema.names):
        expected = torch.where(
            observed[:, j], joint.model.contexts(batch.values, known).law(j).log_prob(batch.values[:, j]), 0.0
        )
        site = trace.nodes[name]
        assert torch.allclose(site["fn"].log_prob(site["value"]).double(), expected, atol=2e-3)
        total += expected
        known[:, j] = observed[:, j]
        assert joint.schema[name].support.contains(free.nodes[name]["value"].numpy()).all()
    assert float(trace.log_prob_sum().detach()) == pytest.approx(float(total.sum()), abs=1e-2)


def test_arrays_are_modelled_cell_by_cell():
    rng = np.random.default_rng(0)
    level = rng.normal(size=(120, 1, 1))
    images = level + 0.3 * rng.normal(size=(120, 2, 3))
    joint = genprob.fit({"image": images, "k": (level[:, 0, 0] > 0).astype(int)}, model="anyorder", steps=5, hidden=16)
    answer = joint.query(targets=["image"], given={"k": 1}, draws=20)
    assert answer["posterior"]["image"].shape == (1, 20, 2, 3)
    assert answer["marginals"]["image_mean"].shape == (2, 3) and answer["marginals"]["image_quantile"].shape == (
        7,
        2,
        3,
    )
    mask = np.array([[True, False, True], [False, False, False]])
    rest = joint.query(targets=["image", "k"], given={"image": genprob.Masked(images[0], mask)}, draws=5)
    assert np.allclose(rest["posterior"]["image"].values[..., mask], images[0][mask])


def test_odd_options_and_columns(mixed):
    for options in ({"hidden": 0}, {"dropout": 1.0}, {"orders": 0}):
        with pytest.raises(UsageError):
            genprob.fit(mixed, model="anyorder", steps=0, **options)
    with pytest.raises(UsageError, match="401 numbers"):
        genprob.fit({"image": np.random.default_rng(0).normal(size=(5, 401))}, model="anyorder", steps=0)
    constant = genprob.fit({"c": np.full(30, 2.5), "x": np.arange(30.0) ** 1.5}, model="anyorder", steps=3, hidden=8)
    assert (constant.query(targets=["c"], given={"x": 3.0}, draws=50)["posterior"]["c"].values == 2.5).mean() > 0.9
    far = constant.query(targets=["c"], given={"x": 1e9}, draws=20)
    assert far.attrs["support"] == "fail" and np.isfinite(far["posterior"]["c"].values).all()
