"""The restricted Boltzmann machine against enumeration and quadrature: log Z, log p, conditionals, gradients."""

import math
from itertools import product

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.data.batch import Batch, as_batch
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.table import Table
from genprob.errors import Diverged, UsageError
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.testing.joints import rbm as listing
from genprob.testing.tables import mixed, reals
from genprob_energy import layers
from genprob_energy.machine import MachinePath, TemperedGibbs
from genprob_energy.rbm import RBM

VISIBLE = 8


def binary_rows(rows=60, columns=VISIBLE, holes=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.random((rows, columns)) < np.where(rng.random((rows, 1)) < 0.5, 0.8, 0.3)).astype(float)
    x[rng.random(x.shape) < holes] = np.nan
    return xr.Dataset({f"v{i + 1}": ("row", x[:, i]) for i in range(columns)})


def batch_of(ds):
    schema = infer_schema(read(ds), None, None)
    return as_batch(Table.from_dataset(schema, read(ds)))


def joint_of(batch, *, hidden, seed=0, spread=1.0, **options):
    """A machine with random couplings, as a joint."""
    torch.manual_seed(seed)
    model = RBM(batch.schema, hidden=hidden, **options)
    model.prepare(batch, seed=seed)
    with torch.no_grad():
        model.weight.copy_(spread * torch.randn(model.weight.shape))
        model.hidden.copy_(0.5 * torch.randn(model.hidden.shape))
        model.visible.add_(0.3 * torch.randn(model.visible.shape))
        model.centre.uniform_(0.2, 0.8)
    model.conclude(batch, seed=seed)
    return Joint(batch.schema, model.eval(), run=None, reference=batch, rows=len(batch))


def listed(model):
    """The same machine in the enumerated reference, its offsets multiplied out."""
    machine = model.machine()
    with torch.no_grad():
        return listing.RBM(machine.weight.numpy(), machine.visible.numpy(), machine.hidden.numpy())


@pytest.mark.parametrize("hidden", [6, 24])
def test_log_partition_and_log_prob_are_those_of_the_list(hidden):
    joint = joint_of(batch_of(binary_rows()), hidden=hidden, chains=32, temperatures=20)
    truth = listed(joint.model)
    assert joint.model.partition().value == pytest.approx(truth.log_partition, abs=1e-4)
    ds = {f"v{i + 1}": truth.states[:, i] for i in range(VISIBLE)}
    found = joint.log_prob(ds)
    assert found.attrs["kind"] == "exact"
    np.testing.assert_allclose(found["log_prob"], truth.log_probs, atol=1e-4)


@pytest.mark.parametrize(("hidden", "most"), [(6, 4096), (24, 4096), (24, 0)], ids=["hidden", "visible", "annealed"])
def test_rows_with_holes_are_scored_by_what_they_know(hidden, most, monkeypatch):
    monkeypatch.setattr(layers, "MOST_LISTED", most)
    joint = joint_of(batch_of(binary_rows()), hidden=hidden, spread=0.6, temperatures=200)
    truth = listed(joint.model)
    ds = binary_rows(40, holes=0.4, seed=3)
    found = joint.log_prob(ds)
    values = np.stack([ds[f"v{i + 1}"].values for i in range(VISIBLE)], 1)
    wanted = truth.log_evidence(QueryBatch.from_values(truth.schema, values))
    error = found["standard_error"].values
    assert (error.max() > 0) == (most == 0)
    assert (np.abs(found["log_prob"].values - wanted) < 5 * error + 1e-4).all()


def test_every_conditional_is_that_of_the_list():
    joint = joint_of(batch_of(binary_rows(columns=5)), hidden=4)
    truth = listed(joint.model)
    for known in product([None, 0, 1], repeat=4):
        given = {f"v{i + 1}": value for i, value in enumerate(known) if value is not None}
        batch = QueryBatch.from_evidence(truth.schema, [given], ["v5"])
        wanted = truth.marginals(batch, ("v5",))["v5"].mean[0]
        rows = {name: [value] for name, value in given.items()} | {"v5": [1]}
        scored = float(joint.conditional_log_prob(rows, given=list(given))["log_prob"][0])
        assert math.exp(scored) == pytest.approx(wanted, abs=1e-4)


def test_the_gradient_is_that_of_the_enumerated_likelihood():
    """Differences of log p = -F - log Z, parameter by parameter, against F's slope minus its mean under the law."""
    batch = batch_of(binary_rows(columns=4))
    model = joint_of(batch, hidden=3).model.double()
    model.precision = torch.float64
    states = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    rows = batch.values.double()

    def loss():
        return model.energy(rows).mean() + torch.logsumexp(-model.energy(states), 0)

    parameters = [model.weight, model.visible, model.hidden]
    share = torch.softmax(-model.energy(states), 0).detach()
    phases = model.energy(rows).mean() - share @ model.energy(states)
    for exact, found in zip(
        torch.autograd.grad(loss(), parameters), torch.autograd.grad(phases, parameters), strict=True
    ):
        torch.testing.assert_close(found, exact, atol=1e-10, rtol=0)
    step = 1e-5
    (slope,) = torch.autograd.grad(loss(), [model.weight])
    with torch.no_grad():
        model.weight[1, 2] += step
        up = float(loss())
        model.weight[1, 2] -= 2 * step
        down = float(loss())
    assert (up - down) / (2 * step) == pytest.approx(float(slope[1, 2]), abs=1e-7)


def test_moving_the_offsets_leaves_the_law_as_it_is():
    batch = batch_of(mixed_rows())
    model = joint_of(batch, hidden=5).model
    points = model.points(batch)
    before = model.energy(points).detach()
    with torch.no_grad():
        for _ in range(20):
            for name, value in model.recentre(points).items():
                getattr(model, name).copy_(value)
    after = model.energy(points).detach()
    torch.testing.assert_close(after - after[0], before - before[0], atol=1e-9, rtol=1e-9)
    activity = torch.sigmoid(model.machine().up(points)).mean(0).detach()
    assert float((model.centre - activity).abs().max()) < 0.15


def test_offsets_of_zero_leave_the_law_as_it_is():
    batch = batch_of(mixed_rows())
    model = joint_of(batch, hidden=5).model
    points = model.points(batch)
    before = model.machine().free_energy(points).detach()
    with torch.no_grad():
        for name, value in model.uncentre().items():
            getattr(model, name).copy_(value)
    torch.testing.assert_close(model.machine().free_energy(points).detach(), before, atol=1e-9, rtol=1e-9)
    assert not model.offset.any() and not model.centre.any()


@pytest.mark.parametrize("how", [{"momentum": 0.5, "lr": 1.0}, {"decay": False}, {"centred": False}])
@pytest.mark.parametrize("name", ["pcd", "cd"])
def test_each_way_of_descent_learns(name, how):
    """Two pairs of columns that agree nine times in ten: found by descent of every kind."""
    rng = np.random.default_rng(2)
    x = (rng.random((2000, 2)) < 0.5).repeat(2, 1).astype(float)
    flipped = rng.random((2000, 2)) < 0.1
    x[:, [1, 3]] = np.where(flipped, 1 - x[:, [1, 3]], x[:, [1, 3]])
    ds = xr.Dataset({f"v{i + 1}": ("row", x[:, i]) for i in range(4)})
    inference = {"name": name, "lr": 0.1, "k": 2, **how}
    joint = genprob.fit(ds, "rbm", hidden=4, steps=500, inference=inference)
    assert bool(joint.model.centre.any()) == how.get("centred", True)
    for known, other in (("v1", "v2"), ("v3", "v4")):
        log_p = joint.conditional_log_prob({known: [1], other: [1]}, given=[known])["log_prob"].values
        assert math.exp(float(log_p[0])) == pytest.approx(0.9, abs=0.06)


def mixed_rows():
    return mixed().drop_vars("visits")


@pytest.mark.parametrize("name", ["x", "price", "age"])
def test_a_real_has_the_law_that_integrates_to_one(name):
    """Quadrature over one real given all else: log p(x | rest) is a density, on cells a probability."""
    batch = batch_of(mixed_rows())
    joint = joint_of(batch, hidden=5, spread=0.5)
    rest = {"x": 0.3, "price": 1.5, "age": 41.0, "member": 1, "colour": "red"}
    rest.pop(name)
    variable = joint.schema[name]
    values = batch.values[:, joint.schema.slices[name].start].numpy()
    lo, hi = values.min() - 8 * values.std(), values.max() + 8 * values.std()
    if variable.support.kind == "positive":
        lo, hi = 1e-3, values.max() * 40
    if variable.cell is not None:
        first, last = variable.cell.index(np.array([lo, hi])).tolist()
        grid = variable.cell.value(np.arange(max(first, 1), last + 1))
    else:
        grid = np.linspace(lo, hi, 4001)
    rows = {key: [value] * len(grid) for key, value in rest.items()} | {name: grid}
    mass = np.exp(joint.conditional_log_prob(rows, given=list(rest))["log_prob"].values)
    total = mass.sum() if variable.cell is not None else np.trapezoid(mass, grid)
    assert total == pytest.approx(1.0, abs=2e-3)


def test_whole_rows_of_reals_are_scored_as_the_mixture_that_they_are():
    """-F(x) - log Z with the Jacobian, against the sum over hidden states of normal densities in data units."""
    joint = joint_of(batch_of(reals().dropna("row")), hidden=5, spread=0.6)
    with torch.no_grad():
        joint.model.heads.log_scale.copy_(torch.tensor([-0.7, 0.2, 0.0]))
        joint.model.conclude(joint.reference, seed=0)
        queries = QueryBatch.from_values(joint.schema, joint.reference.values.numpy())
        mixture = torch.logsumexp(joint.model.condition(queries).log_weight, 1)
    found = joint.model.log_evidence(queries)
    assert found.kind == "exact"
    np.testing.assert_allclose(found.value, mixture.numpy(), atol=1e-8)
    x = np.linspace(-12, 12, 4001)
    density = np.exp(joint.log_prob({"x": x})["log_prob"].values)
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=1e-4)


def test_estimated_partition_functions_meet_the_summed_one():
    """Annealed, melted, bridged: within their errors of the list, over seeds; the two ends on their own sides."""
    from genprob.metrics.partition import estimate, shares_of

    model = joint_of(batch_of(binary_rows(columns=12)), hidden=8, spread=1.0).model
    truth = model.partition()
    assert truth.kind == "exact" and truth.interval
    z = []
    for seed in range(12):
        torch.manual_seed(seed)
        path = model.path(200)
        shares = shares_of(path, 100)
        found, _ = estimate(path, float(path.log_first), shares, exact=model.exact_draws(200))
        assert found.interval and found.reliable
        z.append((found.value - truth.value) / found.error)
        assert abs(found.optimistic - truth.value) < 0.5 and abs(found.conservative - truth.value) < 0.5
    assert np.abs(z).max() < 4 and 0.4 < np.sqrt(np.mean(np.square(z))) < 2


def modal(temperatures):
    """Two groups of 13 columns that agree within themselves, and a path that is long enough for them or is not."""
    joint = joint_of(batch_of(binary_rows(columns=26)), hidden=22, spread=0.0, chains=64, temperatures=temperatures)
    model = joint.model
    with torch.no_grad():
        model.weight[:13, :11], model.weight[13:, 11:] = 1.2, 1.2
        for tensor in (model.visible, model.hidden, model.base):
            tensor.zero_()
        model.offset.fill_(0.5)
        model.centre.fill_(0.5)
        model.conclude(joint.reference, seed=0)
    return joint


def test_chains_that_have_not_mixed_are_told_to_whoever_asks():
    """A path of three steps between modes: scores and answers that rest on log Z say that they are not reliable."""
    joint = modal(temperatures=3)
    partition = joint.model.partition()
    assert abs(partition.conservative - partition.optimistic) > 1 and not partition.reliable
    row = {v.name: [1] for v in joint.schema}
    scored = joint.log_prob(row)
    assert scored.attrs["reliable"] == 0 and "log Z is unreliable: its two ends differ by" in scored.attrs["reasons"]
    assert "temperatures=" in scored.attrs["reasons"]
    given = {"v1": 1, "v14": 0}
    conditional = joint.conditional_log_prob(row, given=list(given))
    assert conditional.attrs["reliable"] == 1 and conditional.attrs["log_partition_se"] == 0  # log Z cancels
    for strategy in ("clamped", "importance"):
        answer = joint.query(["v2"], given, strategy=strategy)
        assert answer.attrs["reliable"] == 0 and answer.attrs["computation"] == "fail"
        assert "log Z is unreliable" in answer.attrs["reasons"]
    found = genprob.evaluate(joint, row, metrics="log_likelihood")["log_likelihood"].attrs
    assert found["reliable"] == 0 and found["log_partition_se"] == partition.error
    assert partition.error > 0.01


def test_a_path_that_is_long_enough_is_trusted():
    joint = modal(temperatures=400)
    partition = joint.model.partition()
    # Each group by itself, summed: 2^11 states of its hidden units.
    side = torch.tensor(list(product([0.0, 1.0], repeat=11))) - 0.5
    pull = torch.nn.functional.softplus(1.2 * side.sum(1)) - 0.6 * (side.sum(1) + 5.5)
    wanted = 2 * float(torch.logsumexp(13 * pull, 0))
    assert partition.reliable and abs(partition.value - wanted) < 5 * partition.error
    assert joint.log_prob({v.name: [1] for v in joint.schema}).attrs["reliable"] == 1


def test_draws_are_those_of_the_list(monkeypatch):
    monkeypatch.setattr(layers, "MOST_LISTED", 0)
    for hidden in (4, 24):
        joint = joint_of(batch_of(binary_rows(columns=4)), hidden=hidden, spread=0.5)
        truth = listed(joint.model)
        drawn = np.stack([joint.sample(8000)[v.name].values for v in joint.schema], 1)
        counted = np.array([(drawn == state).all(1).mean() for state in truth.states])
        wanted = np.exp(truth.log_probs)
        slack = 4 if hidden == 4 else 12  # draws of the reservoir are correlated
        assert (np.abs(counted - wanted) < slack * np.sqrt(wanted / 8000) + 1e-3).all()


def test_annealed_queries_agree_with_listed_ones():
    """The same machine asked through all hidden states and through annealed chains: evidence of every kind."""
    batch = batch_of(mixed_rows())
    joint = joint_of(batch, hidden=6, spread=0.4)
    rows = [
        {"x": 1.0, "age": 41.0},
        {"x": genprob.Within(0.2, 1.4), "colour": genprob.OneOf("red", "blue")},
        {"price": genprob.Soft(2.0, sd=0.3), "member": genprob.Soft({0: 0.2, 1: 0.7})},
        {"age": genprob.Soft(45.0, sd=2.0), "price": genprob.Within(None, 1.5)},
        {"age": genprob.OneOf(40.0, 47.0), "member": 1},
    ]
    queries = QueryBatch.from_evidence(joint.schema, rows)
    torch.manual_seed(0)
    exact = torch.logsumexp(joint.model.condition(queries).log_weight, 1)
    weights = joint.model.propose(queries, 2000).log_weight
    from genprob.query.diagnostics import log_mean_error

    error = log_mean_error(weights.numpy())
    assert (np.abs((torch.logsumexp(weights, 1) - exact).numpy()) < 5 * error + 1e-3).all()
    assert error.max() < 0.1


def test_counts_are_refused_with_what_is_taken():
    supported = "rbm takes binary, categorical, real, positive and interval variables; state what has few values as"
    with pytest.raises(UsageError, match=rf"'visits' is a count: {supported}"):
        genprob.fit(mixed(), RBM, steps=0)
    two = mixed().assign(calls=mixed()["visits"])
    with pytest.raises(UsageError, match=r"visits, calls are counts.*--support visits=categorical"):
        genprob.fit(two, RBM, steps=0, schema={"calls": "count"})
    genprob.fit(two, RBM, steps=0, hidden=2, schema={"visits": "categorical", "calls": "cell(1)"})


@pytest.mark.parametrize("name", ["pcd", "cd"])
def test_chains_that_explode_are_named_and_the_last_good_checkpoint_stays(name, tmp_path):
    how = {"name": name, "lr": 1e6, "momentum": 0.0, "clip": None}
    rows = reals().dropna("row")
    with pytest.raises(Diverged, match=r"the block 'chains' left the numbers.*last good checkpoint is kept in .*run"):
        genprob.fit(rows, "rbm", hidden=4, steps=100, inference=how, out=tmp_path / "run")
    joint = genprob.load(tmp_path / "run")
    assert not joint.run.finished and np.isfinite(joint.log_prob(rows)["log_prob"].values).all()


@pytest.mark.parametrize("strategy", [None, "clamped", "importance"])
def test_evidence_of_probability_zero_is_refused(strategy):
    """A range that holds no table value, and labels that the data never had, whatever the strategy."""
    for hidden in (4, 16):
        joint = joint_of(batch_of(mixed_rows()), hidden=hidden, spread=0.3)
        for given in ({"age": genprob.Within(41.2, 41.4)}, {"member": genprob.Soft({0: 0.0, 1: 0.0})}):
            with pytest.raises(UsageError, match=r"probability zero|impossible|no value|zero"):
                joint.query(["x"], given, strategy=strategy)


def test_what_no_strategy_mixes_is_answered_and_flagged_and_rejection_stays_out():
    """Chains between two modes and weights of a path of three steps: an answer with its doubts, not a traceback."""
    joint = modal(temperatures=3)
    words = {word.strategy: word for word in joint.explain(["v2"], {"v1": 1, "v14": 0}).offers}
    assert not words["rejection"].offered and "22 hidden units have too many states" in words["rejection"].reason
    answer = joint.query(["v2"], {"v1": 1, "v14": 0})
    assert answer.attrs["reliable"] == 0 and answer.attrs["strategy"] in ("clamped", "importance")


def test_holes_are_summed_out_in_learning():
    """Half the cells are dropped at random: what is learned has the moments of the whole rows."""
    whole = binary_rows(3000, 3, seed=5)
    rng = np.random.default_rng(6)
    holed = whole.map(lambda v: v.where(rng.random(v.shape) < 0.6))
    joint = genprob.fit(holed, RBM, hidden=4, steps=400, inference={"name": "pcd", "lr": 0.05, "chains": 512})
    states = np.array(list(product([0, 1], repeat=3)))
    found = np.exp(joint.log_prob({f"v{i + 1}": states[:, i] for i in range(3)})["log_prob"].values)
    values = np.stack([whole[f"v{i + 1}"].values for i in range(3)], 1)
    wanted = np.array([(values == s).all(1).mean() for s in states])
    assert np.abs(found - wanted).max() < 0.03


def test_the_program_says_what_the_energy_says():
    import pyro.poutine as poutine

    batch = batch_of(mixed_rows().dropna("row"))
    model = joint_of(batch, hidden=3).model
    from genprob_energy.units import binary_states

    total = []
    few = Batch(batch.schema, batch.values[:5], batch.observed[:5], torch.arange(5), 5)
    for state in binary_states(3, torch.float64):
        fixed = poutine.condition(model.model, data={"hidden": state.expand(5, -1)})
        trace = poutine.trace(fixed).get_trace(few)
        trace.compute_log_prob()
        total.append(trace.nodes["hidden"]["log_prob"] + trace.nodes["energy"]["log_prob"])
    torch.testing.assert_close(torch.logsumexp(torch.stack(total), 0), -model.energy(model.points(few)))


def test_tempered_chains_cross_where_plain_ones_do_not():
    """Two modes of six units that never flip alone: with hotter copies both are visited as often as the list says."""
    joint = joint_of(batch_of(binary_rows(columns=6)), hidden=6, spread=0.0)
    model = joint.model
    with torch.no_grad():
        model.weight.fill_(2.5)
        for tensor in (model.visible, model.hidden):
            tensor.fill_(0.0)
        model.base.zero_()
        model.offset.fill_(0.5)
        model.centre.fill_(0.5)
        model.visible[0] = 0.5  # one mode is likelier
        states = model._states()
        share = torch.softmax(-model.energy(states), 0)
        wanted = float(share[states.sum(1) > 3].sum())
        torch.manual_seed(0)
        crossed = {}
        for name, kernel in (("plain", model.markov_kernel()), ("tempered", model.tempered_kernel(8))):
            points = torch.zeros(400, 6)
            memory = kernel.init(points)
            for _ in range(150):
                points, memory, told = kernel.step(points, memory)
            crossed[name] = float((points.sum(1) > 3).float().mean())
    assert 0.55 < wanted < 0.7
    assert crossed["plain"] < 0.1
    assert crossed["tempered"] == pytest.approx(wanted, abs=0.1)
    assert float(told["swapped"]) > 0.2


def test_tempering_leaves_the_law_at_every_temperature_as_it_is():
    """Exact draws at three temperatures, moved and exchanged: each still has its own law, state by state."""
    model = joint_of(batch_of(binary_rows(columns=4)), hidden=3, spread=2.0).model
    count, shares = 40_000, (1.0, 0.5, 0.0)
    with torch.no_grad():
        states = model._states()
        path = MachinePath(model.machine(), states, torch.zeros(()))
        laws = [torch.softmax(path.log_density(states, share), 0) for share in shares]
        torch.manual_seed(0)
        begun = [states[torch.multinomial(law, count, replacement=True)] for law in laws]
        kernel = TemperedGibbs(model.machine(), shares)
        points, memory = begun[0], {"hotter": torch.stack(begun[1:]), "steps": 0}
        for _ in range(4):
            points, memory, told = kernel.step(points, memory)
    code = torch.tensor([8.0, 4.0, 2.0, 1.0])
    for law, replica in zip(laws, [points, *memory["hotter"]], strict=True):
        found = torch.bincount((replica @ code).long(), minlength=16) / count
        assert ((found - law).abs() < 4.5 * (law * (1 - law) / count).sqrt() + 1e-4).all()
    assert 0.1 < float(told["swapped"]) < 0.95


def test_a_tempered_fit_tells_of_its_chains(tmp_path):
    how = {"name": "pcd", "temperatures": 4, "chains": 32}
    joint = genprob.fit(binary_rows(columns=4), "rbm", hidden=4, steps=6, inference=how, out=tmp_path / "a")
    assert any("chains.swapped" in event for event in joint.run.events())


def test_a_fit_that_goes_on_settles_its_partition_function_anew(tmp_path):
    ds = binary_rows(columns=4)
    first = genprob.fit(ds, "rbm", hidden=4, steps=3, out=tmp_path / "run")
    again = genprob.fit(ds, "rbm", hidden=4, steps=6, out=tmp_path / "run", resume=True)
    for joint in (first, again):
        assert sum("log Z" in note for note in joint.notes) == 1
    states = {f"v{i + 1}": column for i, column in enumerate(np.array(list(product([0, 1], repeat=4))).T)}
    total = np.logaddexp.reduce(again.log_prob(states)["log_prob"].values)
    assert total == pytest.approx(0.0, abs=1e-4)
