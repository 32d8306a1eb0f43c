"""Boltzmann machines against enumeration: Ising of 12 spins, Potts 3^6, hidden units, grids."""

from itertools import product

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.testing.joints.ising import Ising
from genprob.testing.tables import mixed
from genprob_energy.boltzmann import Boltzmann
from genprob_energy.machine import BlockGibbs


@pytest.fixture
def joint_of(machine_of):
    parameters = ("lateral", "weight", "visible", "hidden")

    def of(ds, *, spread=0.5, seed=0, **options):
        return machine_of(Boltzmann, ds, parameters, spread=spread, seed=seed, temperatures=100, **options)

    return of


def masses(joint):
    """log-masses of all states, summed one coupling at a time."""
    model = joint.model
    lateral = (0.5 * (model.lateral + model.lateral.T) * model.allowed).detach().numpy()
    weight, visible = model.weight.detach().numpy(), model.visible.detach().numpy()
    offset, centre, hidden = model.offset.numpy(), model.centre.numpy(), model.hidden.detach().numpy()
    sizes = [v.cardinality for v in joint.schema.columns]
    states = np.array(list(product(*map(range, sizes))), dtype=float)
    out = np.zeros(len(states))
    binaries = [j for j, size in enumerate(sizes) if size == 2]
    for s, state in enumerate(states):
        f = [state[j] for j in binaries]
        for j, size in enumerate(sizes):
            if size > 2:
                f += [float(state[j] == level) for level in range(size)]
        away = np.array(f) - offset
        out[s] = visible @ away + 0.5 * away @ lateral @ away
        for h in range(len(hidden)):
            a = hidden[h] + away @ weight[:, h]
            out[s] += np.logaddexp(-centre[h] * a, (1 - centre[h]) * a)
    return states, out


CASES = {
    "ising": ([2] * 12, {}),
    "potts": ([3] * 6, {}),
    "mixed": ([2, 3, 2, 4, 5], {}),
    "hidden": ([2, 3, 2, 2], {"hidden": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_log_prob_is_that_of_the_list(case, joint_of, levelled):
    levels, options = CASES[case]
    joint = joint_of(levelled(levels), **options)
    states, wanted = masses(joint)
    wanted = wanted - np.logaddexp.reduce(wanted)
    assert joint.model.partition().kind == "exact"
    found = joint.model.log_joint(torch.as_tensor(states)).detach().numpy() - joint.model.log_partition
    np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_chains_leave_the_law_invariant(case, joint_of, levelled):
    """Exact draws, moved on, still have the law: every pair of columns keeps its frequencies."""
    levels, options = CASES[case]
    joint = joint_of(levelled(levels), **options)
    states, log_mass = masses(joint)
    share = np.exp(log_mass - np.logaddexp.reduce(log_mass))
    torch.manual_seed(3)
    points = joint.model.exact_draws(20_000)
    kernel = BlockGibbs(joint.model.machine())
    with torch.no_grad():
        for _ in range(5):
            points = kernel.step(points, {})[0]
    drawn = points.numpy()
    for i in range(len(levels)):
        for k in range(i):
            for a, b in product(range(levels[i]), range(levels[k])):
                wanted = share[(states[:, i] == a) & (states[:, k] == b)].sum()
                found = ((drawn[:, i] == a) & (drawn[:, k] == b)).mean()
                assert abs(found - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / len(drawn)) + 1e-4


def test_the_ising_model_is_the_listed_one(joint_of, levelled):
    joint = joint_of(levelled([2] * 8).rename({f"v{i}": f"s{i + 1}" for i in range(8)}), spread=0.0)
    rng = np.random.default_rng(1)
    coupling = np.triu(rng.normal(size=(8, 8)) * 0.4, 1)
    coupling += coupling.T
    truth = Ising(coupling, np.zeros(8))
    model = joint.model
    with torch.no_grad():  # s = 2 x - 1, so that s' J s / 2 is 2 x' J x less the rows' sums
        model.lateral.copy_(torch.as_tensor(4 * coupling))
        model.visible.copy_(torch.as_tensor(-2 * coupling.sum(1)))
        model.visible.add_(torch.as_tensor(4 * coupling, dtype=torch.float32) @ model.offset)
        model.conclude(joint.reference, seed=0)
    found = joint.log_prob({f"s{i + 1}": truth.states[:, i] for i in range(8)})["log_prob"]
    np.testing.assert_allclose(found, truth.log_probs, atol=1e-4)
    for given in ({"s2": 1}, {"s1": 0, "s6": 1, "s8": 1}, {"s3": genprob.Soft({0: 0.1, 1: 0.6})}):
        queries = QueryBatch.from_evidence(joint.schema, [given], ["s4", "s5"])
        wanted = truth.marginals(queries, ("s4", "s5"))
        exact = joint.query(["s4", "s5"], given)
        assert exact.attrs["strategy"] == "enumeration" and exact.attrs["guarantee"] == "exact"
        chains = joint.query(["s4", "s5"], given, strategy="clamped", draws=2000)
        assert chains.attrs["computation"] == "ok"
        evidence = truth.log_evidence(queries)[0]
        assert exact.attrs["log_evidence"] == pytest.approx(evidence, abs=1e-4)
        assert abs(chains.attrs["log_evidence"] - evidence) < 5 * chains.attrs["log_evidence_se"] + 1e-4
        for name in ("s4", "s5"):
            assert float(chains["posterior"][name].mean()) == pytest.approx(float(wanted[name].mean[0]), abs=0.08)


def test_conditionals_of_one_column_are_those_of_the_list(joint_of, levelled):
    for case in ("mixed", "hidden"):
        levels, options = CASES[case]
        joint = joint_of(levelled(levels), **options)
        states, log_mass = masses(joint)
        found = joint.model.machine().log_conditionals(torch.as_tensor(states, dtype=torch.float32)).detach().numpy()
        order = [j for j, s in enumerate(levels) if s == 2] + [j for j, s in enumerate(levels) if s > 2]
        for place, j in enumerate(order):
            others = [k for k in range(len(levels)) if k != j]
            _, group = np.unique(states[:, others], axis=0, return_inverse=True)
            total = np.array([np.logaddexp.reduce(log_mass[group == g]) for g in range(group.max() + 1)])
            np.testing.assert_allclose(found[:, place], log_mass - total[group], atol=2e-4)


def test_colours_of_a_grid_are_drawn_at_once(joint_of):
    rng = np.random.default_rng(0)
    image = xr.Dataset({"image": (("row", "y", "x"), (rng.random((50, 4, 5)) < 0.5).astype(float))})
    joint = joint_of(image, couplings="grid")
    assert len(joint.model.sites) == 2
    machine = joint.model.machine()
    assert int((machine.lateral != 0).sum()) == 2 * (4 * 4 + 3 * 5)


@pytest.mark.parametrize("inference", ["pcd", "pseudolikelihood"])
def test_couplings_are_learned(inference):
    """Rows of a known Ising ring with a third of its cells missing: couplings come back."""
    coupling = np.zeros((5, 5))
    for i in range(5):
        coupling[i, (i + 1) % 5] = coupling[(i + 1) % 5, i] = 0.6 if i else -0.6
    truth = Ising(coupling, np.full(5, 0.2))
    rows = truth.sample(3000, 0)
    rows[np.random.default_rng(1).random(rows.shape) < 0.15] = np.nan
    ds = xr.Dataset({f"s{i + 1}": ("row", rows[:, i]) for i in range(5)})
    joint = genprob.fit(ds, "boltzmann", inference={"name": inference, "lr": 0.05, "batch_size": 500}, steps=200)
    lateral = joint.model.machine().lateral.detach().numpy() / 4
    assert np.abs(lateral - coupling).max() < 0.25
    found = joint.log_prob({f"s{i + 1}": truth.states[:, i] for i in range(5)})["log_prob"].values
    share = np.exp(truth.log_probs)
    assert float(share @ (truth.log_probs - found)) < 0.02


def test_reals_are_refused_with_what_is_taken():
    with pytest.raises(UsageError, match=r"boltzmann takes binary and categorical variables.*rbm takes reals"):
        genprob.fit(mixed().drop_vars("visits"), Boltzmann, steps=0)
