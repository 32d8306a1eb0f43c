"""MADE and NADE with random weights, against sums over every state."""

import itertools

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import Batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Positive, Real
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.errors import Diverged, UsageError
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import AnyOrder
from genprob_autoregressive.made import MADE
from genprob_autoregressive.nade import NADE

BINARIES = Schema(tuple(Variable(f"x{i}", Binary()) for i in range(12)))
FEW = Schema(
    (
        Variable("a", Binary()),
        Variable("g", Categorical(("u", "v", "w"))),
        Variable("n", Count()),
        Variable("r", Real()),
        Variable("p", Positive(), Cell(0.5)),
        Variable("b", Binary()),
    )
)
KINDS = [
    pytest.param(factory, options, id=f"{factory.__name__}-{'agnostic' if options else 'fixed'}")
    for factory in (MADE, NADE)
    for options in ({}, {"agnostic": True, "orders": 3})
]


def rows_of(schema, n=200, seed=0):
    rng = np.random.default_rng(seed)
    draw = {
        "binary": lambda: rng.integers(0, 2, n),
        "categorical": lambda: rng.integers(0, 3, n),
        "count": lambda: rng.poisson(1.0, n),
        "real": lambda: rng.normal(2, 3, n),
        "positive": lambda: np.ceil(np.exp(rng.normal(size=n)) / 0.5) * 0.5,
    }
    return np.stack([draw[v.support.kind]().astype(float) for v in schema.columns], 1)


def joint_of(factory, schema, *, noise=0.5, seed=1, **options) -> Joint:
    """A joint of a network whose weights are shaken instead of learned."""
    values = torch.as_tensor(rows_of(schema))
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(values)), len(values))
    with running(Randomness(seed)), torch.no_grad():
        model = factory(schema, **{"hidden": (24,), "bins": 4} | options)
        model.prepare(batch, seed=seed)
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    return Joint(schema, model.eval(), run=None, reference=batch, rows=len(values))


def levels_of(model):
    """Every state of a model's levels, `[states, width]`."""
    return torch.tensor(list(itertools.product(*(range(size) for size in model.bins.sizes))))


@pytest.mark.parametrize(("factory", "options"), KINDS)
def test_probabilities_of_all_states_add_up_to_one_in_every_order_and_mixed(factory, options):
    model = joint_of(factory, BINARIES, **options).model
    states = levels_of(model)
    assert len(states) == 4096
    known = torch.ones_like(states, dtype=torch.bool)
    with torch.no_grad():
        for order in model.sequences:
            log_p = model._along(states, known, order)
            assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
            assert log_p.std() > 0.3  # not the uniform law
        mixed = model.log_joint(states.double())
    assert mixed.exp().sum().item() == pytest.approx(1, abs=1e-5)
    if options:
        each = torch.stack([model._along(states, known, order) for order in model.sequences])
        assert (each[0] - each[1]).abs().max() > 0.1
        assert mixed.detach().numpy() == pytest.approx(each.exp().mean(0).log().detach().numpy(), abs=1e-6)


@pytest.mark.parametrize(("factory", "options"), KINDS)
def test_mixed_columns_add_up_to_one_and_log_prob_is_the_joint_density(factory, options):
    joint = joint_of(factory, FEW, **options)
    model = joint.model
    states = levels_of(model)
    with torch.no_grad():
        assert model._mixed(states, torch.ones_like(states, dtype=torch.bool)).exp().sum().item() == pytest.approx(
            1, abs=1e-5
        )
    scored = joint.log_prob(joint.sample(20, seed=3).rename(draw="row"))
    values = joint.table(joint.sample(20, seed=3).rename(draw="row")).values
    assert scored.attrs["kind"] == "exact" and scored.attrs["law"] == ("order-mixture" if options else "joint")
    assert scored["log_prob"].values == pytest.approx(model.log_joint(torch.as_tensor(values)).numpy(), abs=1e-5)


@pytest.mark.parametrize(("factory", "options"), KINDS)
def test_a_column_moves_only_what_comes_after_it(factory, options):
    model = joint_of(factory, FEW, hidden=(40, 40), **options).model
    base = model.bins.encode(torch.as_tensor(rows_of(FEW, 5)))
    known = torch.ones_like(base, dtype=torch.bool)
    segment = model.bins.segment
    for order in model.sequences:
        place = torch.argsort(order)
        before = model.log_probs(base, known, order)
        for j in range(FEW.width):
            other = base.clone()
            other[:, j] = (base[:, j] + 1) % model.bins.sizes[j]
            moved = (model.log_probs(other, known, order) - before).abs().amax(0)
            later = place[segment] > place[j]
            assert moved[~later].max() == 0
            for after in torch.nonzero(place > place[j])[:, 0].tolist():
                assert moved[segment == after].max() > 1e-4, (j, after)


@pytest.mark.parametrize(("factory", "options"), KINDS)
def test_one_column_at_a_time_is_all_columns_at_once(factory, options):
    model = joint_of(factory, FEW, **options).model
    levels = model.bins.encode(torch.as_tensor(rows_of(FEW, 9)))
    for order in model.sequences:
        known = torch.ones_like(levels, dtype=torch.bool)
        whole = model.log_probs(levels, known, order)
        for position, j in enumerate(order.tolist()):
            known = torch.zeros_like(levels, dtype=torch.bool)
            known[:, order[:position]] = True
            part = model.next_log_probs(levels, known, order, position)
            own = whole[:, model.bins.starts[j] : model.bins.starts[j + 1]]
            assert part.detach().numpy() == pytest.approx(own.detach().numpy(), abs=1e-5)


GIVEN = [
    {"b": 1},
    {"g": "v", "r": 2.5},
    {"r": genprob.Within(1.0, 4.0), "b": 0},
    {"p": genprob.OneOf(0.5, 1.5), "n": genprob.Within(1, 3), "g": genprob.Soft({"u": 0.2, "w": 0.9})},
    {"r": genprob.Soft(2.0, sd=1.0), "p": genprob.Soft(1.0, sd=0.4), "a": 1},
    {"p": 1.0, "n": 2, "r": -1.0, "g": "w", "b": 1},
    {"b": 1, "p": genprob.Within(0.9, None), "n": genprob.Soft(1.0, sd=0.7), "g": genprob.OneOf("u", "v")},
]


def exact(model, queries):
    """log p(evidence) and p(level | evidence) of the first column, by summing every state."""
    states = levels_of(model)
    with torch.no_grad():
        prior = model._mixed(states, torch.ones_like(states, dtype=torch.bool))
    told = model.bins.log_likelihood(queries)
    weight = prior + told[:, model.bins.first + states].sum(-1)
    log_evidence = torch.logsumexp(weight, 1)
    share = torch.softmax(weight, 1)
    return log_evidence.numpy(), torch.stack([share[:, states[:, 0] == k].sum(1) for k in (0, 1)], 1).numpy()


@pytest.mark.parametrize(("factory", "options"), KINDS)
def test_every_kind_of_evidence_is_answered_as_enumeration_says(factory, options, monkeypatch):
    joint = joint_of(factory, FEW, **options)
    model = joint.model
    queries = QueryBatch.from_evidence(FEW, GIVEN)
    log_evidence, pmf = exact(model, queries)
    scored = model.log_evidence(queries)
    assert (np.abs(scored.value - log_evidence) <= 5 * scored.error + 1e-5).all()
    for limit in (10**6, 1):  # all states listed, then none
        monkeypatch.setattr("genprob_autoregressive.ordered.LISTED", limit)
        closed = np.array([not reason for reason in model.inexact(queries)])
        assert closed.all() == (limit > 1)
        if closed.any():
            cloud = model.condition(queries.take(closed))
            found = torch.logsumexp(cloud.log_weight, 1).numpy()
            assert found == pytest.approx(log_evidence[closed], abs=1e-5)
            if limit > 1:
                share = cloud.marginals(("a",))["a"]
                assert share.pmf == pytest.approx(pmf, abs=1e-5)
                assert (share.pmf_mcse == 0).all()
    for late in (9, 0):  # particles by themselves, then in islands
        monkeypatch.setattr("genprob_autoregressive.ordered._LATE", late)
        torch.manual_seed(0)
        cloud = model.propose(queries, 3000)
        found = torch.logsumexp(cloud.log_weight, 1).numpy()
        weight = torch.softmax(cloud.log_weight, 1).numpy()
        error = np.sqrt((weight**2).sum(1))
        assert (np.abs(found - log_evidence) < 5 * error).all()
        share = (weight[..., None] * (cloud.levels[..., :1].numpy() == np.arange(2))).sum(1)
        assert (np.abs(share - pmf).max(1) < 5 * error).all()


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_islands_estimate_the_evidence_without_bias_and_state_their_spread(factory):
    joint = joint_of(factory, BINARIES, noise=0.4)
    given = {f"x{i}": int(i % 2) for i in range(4, 12)}
    queries = QueryBatch.from_evidence(BINARIES, [given] * 40)
    truth = exact(joint.model, queries.take(slice(0, 1)))[0][0]
    torch.manual_seed(1)
    told = joint.model.bins.log_likelihood(queries)
    for size in (1, 16):
        weight = joint.model._walk(told, 50, joint.model.sequences[0], size)[1].numpy()
        ratio = np.exp(weight - truth)
        assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(ratio.size)
        if size == 1:
            alone = ratio.std()
    assert ratio.std() < 0.6 * alone


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_missing_cells_are_summed_out_in_training(factory):
    model = joint_of(factory, FEW, completions=4000).model
    values = torch.as_tensor(rows_of(FEW, 3))
    known = torch.tensor([[0, 1, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0]]).bool()
    batch = Batch(FEW, values, known, torch.arange(3), 3)
    states, levels = levels_of(model), model.bins.encode(values)
    everything = torch.ones_like(states, dtype=torch.bool)
    joint = model._along(states, everything, model.sequences[0])
    meets = ((states[None] == levels[:, None]) | ~known[:, None]).all(-1)
    within = torch.where(known, model.bins.log_within(values), 0.0).sum(1)
    truth = torch.stack([torch.logsumexp(joint[row], 0) for row in meets]) + within
    torch.manual_seed(0)
    found = model.log_density(batch)
    assert found.detach().numpy() == pytest.approx(truth.detach().numpy(), abs=0.1)
    slopes = [torch.autograd.grad(x.sum(), list(model.net.parameters())) for x in (truth, found)]
    flat = [torch.cat([g.flatten() for g in slope]) for slope in slopes]
    assert (flat[0] - flat[1]).norm() < 0.1 * flat[0].norm()


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_training_over_all_orders_has_the_mean_over_orders_as_its_mean(factory):
    schema = Schema(FEW.variables[:4])
    model = joint_of(factory, schema, agnostic=True).model
    values = torch.as_tensor(rows_of(schema, 2))
    known = torch.tensor([[True] * 4, [True, False, True, True]])
    levels = model.bins.encode(values)
    with torch.no_grad():
        orders = [torch.tensor(order) for order in itertools.permutations(range(4))]
        mean = torch.stack([model._along(levels, known, order) for order in orders]).mean(0)
        torch.manual_seed(0)
        if factory is NADE:
            many = model.agnostic_density(levels.repeat(20_000, 1), known.repeat(20_000, 1)).view(-1, 2)
        else:
            many = torch.stack([model.agnostic_density(levels, known) for _ in range(2000)])
    error = many.std(0) / len(many) ** 0.5
    assert ((many.mean(0) - mean).abs() < 5 * error + 1e-3).all()


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_draws_have_the_frequencies_that_log_prob_says(factory):
    joint = joint_of(factory, Schema(BINARIES.variables[:5]), agnostic=True, orders=2)
    states = levels_of(joint.model)
    mass = joint.model.log_joint(states.double()).exp().numpy()
    with running(Randomness(3)):
        drawn = joint.model.draw(20_000)
    counted = np.bincount((drawn @ 2 ** np.arange(5)).astype(int), minlength=32)
    code = (states.numpy() @ 2 ** np.arange(5)).astype(int)
    noise = np.sqrt(mass * (1 - mass) / 20_000) + 1e-4
    assert (np.abs(counted[code] / 20_000 - mass) / noise).max() < 5


def test_part_of_an_image_is_evidence():
    schema = Schema((Variable("image", Binary(), dims=("y", "x"), shape=(3, 4)),))
    joint = joint_of(MADE, schema, noise=1.0)
    image, mask = np.ones((3, 4), dtype=int), np.zeros((3, 4), dtype=bool)
    mask[:, :3] = True
    answer = joint.query(["image"], {"image": genprob.Masked(image, mask)}, draws=200)
    assert answer.attrs["guarantee"] == "exact"
    assert (answer["posterior"]["image"].values[..., mask] == 1).all()
    states = levels_of(joint.model)
    mass = joint.model.log_joint(states.double()).exp().numpy()
    meets = (states.numpy()[:, mask.reshape(-1)] == 1).all(1)
    free = np.flatnonzero(~mask.reshape(-1))
    truth = (mass[meets, None] * states.numpy()[meets][:, free]).sum(0) / mass[meets].sum()
    found = answer["marginals"]["image_pmf"].values[..., 1].reshape(-1)[free]
    assert found == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("factory", [MADE, NADE])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"orders": 3}, "agnostic"),
        ({"average": "conditionals"}, "no joint density"),
        ({"hidden": ()}, "hidden"),
        ({"bins": 1}, "bins"),
    ],
)
def test_what_is_no_density_is_refused(factory, options, words):
    with pytest.raises(UsageError, match=words):
        factory(FEW, **options)


def test_many_levels_are_advised_against():
    schema = Schema((Variable("id", Categorical(tuple(map(str, range(10_000))))), Variable("a", Binary())))
    model = MADE(schema, hidden=(4,), direct=False)
    values = torch.zeros(10, 2, dtype=torch.float64)
    batch = Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(10), 10)
    assert "join rare ones" in model.prepare(batch, seed=0)[0]


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_a_fit_finds_a_deterministic_relation(factory):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    joint = genprob.fit(
        {"a": a, "b": b, "c": a ^ b}, factory, inference={"name": "ml", "lr": 0.02}, steps=300, hidden=(16,)
    )
    assert joint.log_prob({"a": a, "b": b, "c": a ^ b})["log_prob"].values.mean() == pytest.approx(-np.log(4), abs=0.1)
    answer = joint.query(["b"], {"a": 1, "c": 1}, draws=100)
    assert answer["posterior"]["b"].values.mean() < 0.05 and answer.attrs["guarantee"] == "exact"


@pytest.mark.parametrize("factory", [MADE, NADE])
def test_a_loss_that_is_no_number_is_told(factory):
    with pytest.raises(Diverged):
        genprob.fit({"a": [0, 1] * 50, "b": [1, 0] * 50}, factory, inference={"name": "ml", "lr": 1e30}, steps=100)


def test_nade_over_all_orders_is_asked_with_the_evidence_first():
    joint = joint_of(NADE, Schema(FEW.variables), agnostic=True, orders=2)
    model = joint.model
    assert isinstance(model, AnyOrder) and not isinstance(joint_of(NADE, FEW).model, AnyOrder)
    given = {"g": "v", "b": 1, "p": 1.0}
    answer = joint.query(["a"], given, strategy="ancestral", draws=100)
    assert (answer.attrs["guarantee"], answer.attrs["law"]) == ("exact", "order-mixture")
    queries = QueryBatch.from_evidence(FEW, [given])
    known = torch.as_tensor(queries.kind == 1)
    levels = model.bins.encode(torch.as_tensor(np.nan_to_num(queries.a)))
    order = torch.tensor([1, 4, 5, 0, 2, 3])  # the evidence, then the target
    with torch.no_grad():
        truth = model.log_probs(levels, known, order)[0, model.bins.starts[0] : model.bins.starts[1]].exp()
    assert answer["marginals"]["a_pmf"].values == pytest.approx(truth.numpy(), abs=1e-5)


def test_an_audit_finds_nothing_against_exact_conditionals():
    cells = joint_of(MADE, FEW).audit(queries=40, shares=(0.5,))
    assert set(cells["strategy"].values) == {"closed-form"} and (cells["verdict"].values == "ok").all()
