"""The one-dimensional laws of a shaken network, in contexts that know random parts of rows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from genprob.query.batch import NOISY, NOTHING, POINT, RANGE, SET, QueryBatch

STATED = {"x": "real", "income": {"support": "real", "measure": "lebesgue"}, "age": "cell(1)", "visits": "count",
          "p": "positive", "share": "interval(0, 1)"}  # fmt: skip
CONTEXTS = 6


@pytest.fixture(scope="module")
def joint(shaken, mixed):
    rng = np.random.default_rng(1)
    more = {"p": np.exp(mixed["x"]), "share": 1 / (1 + np.exp(-mixed["x"] + rng.normal(size=300)))}
    return shaken(mixed | more, stated=STATED)


def contexts(joint, target):
    """Laws of one column in contexts that know each other cell with probability one half."""
    j = joint.schema.slices[target].start
    rng = np.random.default_rng(2)
    known = rng.random((CONTEXTS, joint.schema.width)) < 0.5
    known[:, j] = False
    values = joint.reference.values[:CONTEXTS]
    return joint.model.contexts(values, torch.as_tensor(known)).law(j), j


def told(joint, j, kind, a, b=np.nan):
    batch = QueryBatch.empty(joint.schema, CONTEXTS)
    kinds, first, second = batch.kind.copy(), batch.a.copy(), batch.b.copy()
    kinds[:, j], first[:, j], second[:, j] = kind, a, b
    return replace(batch, kind=kinds, a=first, b=second)


def mass(joint, law, j, lo, hi):
    return law.meet(told(joint, j, RANGE, lo, hi)).log_mass.exp()


@pytest.mark.parametrize("name", ["g", "member", "visits", "age"])
def test_probabilities_of_all_values_add_up_to_one(joint, name):
    law, _ = contexts(joint, name)
    values = {"g": range(3), "member": range(2), "visits": range(2000), "age": range(-1500, 1500)}[name]
    v = torch.tensor(values, dtype=torch.float64)
    each = law.take(torch.arange(CONTEXTS).repeat_interleave(len(v))).log_prob(v.repeat(CONTEXTS))
    total = each.exp().reshape(CONTEXTS, -1).sum(1)
    assert torch.allclose(total, torch.ones_like(total), atol=2e-4)


@pytest.mark.parametrize("name", ["x", "income", "p", "share", "age", "visits"])
def test_ranges_add_up_to_one(joint, name):
    law, j = contexts(joint, name)
    edges = [-np.inf, *np.quantile(joint.reference.values[:, j], [0.2, 0.5, 0.8]), np.inf]
    step = 1.0 if name in ("age", "visits") else 0.0  # both ends are included
    edges = [np.round(e) for e in edges] if step else edges
    total = sum(mass(joint, law, j, lo + (step if lo > -np.inf else 0), hi) for lo, hi in pairwise(edges))
    atoms = torch.isfinite(joint.model.atoms.value[joint.model.coordinates.columns.index(j)]).any()
    assert torch.allclose(total, torch.ones_like(total), atol=1e-9) or (bool(atoms) and bool((total > 1 - 1e-9).all()))


@pytest.mark.parametrize("name", ["x", "p", "share"])
def test_density_is_that_of_ranges_in_data_units(joint, name):
    law, j = contexts(joint, name)
    line, c = joint.model.coordinates, joint.model.coordinates.columns.index(j)
    for row in range(5):
        at = joint.reference.values[100 + row, j]
        lo, hi = (float(line.decode(c, line.place(c, at) + s * line.grain[c] / 2)) for s in (-1, 1))
        density = law.log_prob(at.expand(CONTEXTS)).exp()
        assert torch.allclose(mass(joint, law, j, lo, hi) / (hi - lo), density, rtol=0.02)


def test_an_atom_has_its_own_probability_and_is_drawn_exactly(joint):
    law, j = contexts(joint, "income")
    zero = mass(joint, law, j, -1e-12, 1e-12)
    assert bool((zero > 0.002).all())
    torch.manual_seed(0)
    index = torch.arange(CONTEXTS).repeat_interleave(2000)
    drawn = law.take(index).draw().reshape(CONTEXTS, -1)
    share = (drawn == 0.0).double().mean(1)
    assert bool(((share - zero).abs() < 5 * (zero * (1 - zero) / 2000).sqrt() + 1e-3).all())
    grain = float(joint.model.coordinates.grain[joint.model.coordinates.columns.index(j)])
    sd = float(joint.model.coordinates.encoder.scale[joint.model.coordinates.columns.index(j)])
    density = law.log_prob(torch.zeros(CONTEXTS, dtype=torch.float64)).exp()
    assert bool((density * grain * sd >= zero * 0.999).all())


@pytest.mark.parametrize("name", ["x", "income", "age", "visits", "p", "share", "g", "member"])
def test_draws_follow_the_law(joint, name):
    law, j = contexts(joint, name)
    torch.manual_seed(1)
    drawn = law.take(torch.arange(CONTEXTS).repeat_interleave(2000)).draw().reshape(CONTEXTS, -1)
    if name in ("g", "member"):
        expected = law.log_prob(torch.ones(CONTEXTS)).exp()
        counted = (drawn == 1).double().mean(1)
    else:
        lo, hi = np.quantile(joint.reference.values[:, j], [0.3, 0.7])
        lo, hi = (np.ceil(lo), np.floor(hi)) if name in ("age", "visits") else (lo, hi)
        expected, counted = mass(joint, law, j, lo, hi), ((drawn >= lo) & (drawn <= hi)).double().mean(1)
    assert bool(((counted - expected).abs() < 5 * (expected * (1 - expected) / 2000).sqrt() + 1e-3).all())
    variable = joint.schema.columns[j]
    flat = drawn.numpy().reshape(-1)
    if variable.cell is not None:
        assert np.array_equal(variable.cell.snap(flat), flat)
    assert variable.support.contains(flat).all()


@pytest.mark.parametrize("name", ["x", "income", "age", "visits", "p"])
def test_draws_within_evidence_follow_the_law_times_its_likelihood(joint, name):
    law, j = contexts(joint, name)
    lo, hi = np.quantile(joint.reference.values[:, j], [0.3, 0.9])
    lo, hi = (np.ceil(lo), np.ceil(hi)) if name in ("age", "visits") else (lo, hi)
    middle = np.floor((lo + hi) / 2) if name in ("age", "visits") else (lo + hi) / 2
    torch.manual_seed(2)
    index = np.arange(CONTEXTS).repeat(2000)
    met = law.take(torch.as_tensor(index)).meet(told(joint, j, RANGE, lo, hi).take(index))
    assert bool(((met.values >= lo) & (met.values <= hi)).all()) and not bool(met.log_weight.any())
    share = mass(joint, law, j, lo, middle) / mass(joint, law, j, lo, hi)
    counted = (met.values <= middle).double().reshape(CONTEXTS, -1).mean(1)
    assert bool(((counted - share).abs() < 5 * (share * (1 - share) / 2000).sqrt() + 1e-3).all())


@pytest.mark.parametrize(("name", "sd"), [("x", 0.3), ("x", 30.0), ("income", 0.2), ("age", 0.7), ("age", 3.0),
                                          ("age", 500.0), ("visits", 1.5), ("p", 0.4)])  # fmt: skip
def test_readings_weigh_the_law_by_their_likelihood(joint, name, sd):
    law, j = contexts(joint, name)
    at = float(np.median(joint.reference.values[:, j])) + 0.25
    torch.manual_seed(3)
    index = np.arange(CONTEXTS).repeat(2000)
    drawn = law.take(torch.as_tensor(index)).draw().reshape(CONTEXTS, -1)
    likelihood = torch.exp(-0.5 * ((drawn - at) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    expected, error = likelihood.mean(1), likelihood.std(1) / np.sqrt(2000)
    met = law.take(torch.as_tensor(index)).meet(told(joint, j, NOISY, at, sd).take(index))
    weight = (met.log_mass + met.log_weight).exp().reshape(CONTEXTS, -1)
    noise = 5 * (error + weight.std(1) / np.sqrt(2000)) + 1e-12
    ess = likelihood.sum(1) ** 2 / likelihood.square().sum(1)
    seen = ess > 50  # elsewhere plain draws know too little to compare with
    assert int(seen.sum()) >= 1 and bool(((weight.mean(1) - expected).abs() < noise)[seen].all())
    below = met.values.reshape(CONTEXTS, -1) <= at
    got = (weight * below).sum(1) / weight.sum(1)
    truth = (likelihood * (drawn <= at)).sum(1) / likelihood.sum(1)
    assert bool(((got - truth).abs() < 5 * (0.25 / ess + 0.25 / 1000).sqrt() + 1e-2)[seen].all())


def test_points_and_sets_have_the_probabilities_of_their_values(joint):
    for name, members in {"age": [30.0, 41.0, 55.0], "visits": [0.0, 2.0, 3.0]}.items():
        law, j = contexts(joint, name)
        batch = replace(told(joint, j, SET, np.nan), sets={j: np.tile([*members, np.nan], (CONTEXTS, 1))})
        met = law.meet(batch)
        each = torch.stack([law.log_prob(torch.full((CONTEXTS,), m, dtype=torch.float64)) for m in members])
        assert torch.allclose(met.log_mass, torch.logsumexp(each, 0))
        assert set(met.values.tolist()) <= set(members)
        point = law.meet(told(joint, j, POINT, members[1]))
        assert torch.allclose(point.log_mass, each[1]) and (point.values == members[1]).all()
    law, j = contexts(joint, "g")
    weights = np.tile([0.0, 0.5, 2.0], (CONTEXTS, 1))
    met = law.meet(replace(told(joint, j, SET, np.nan), likelihoods={j: weights}))
    assert torch.allclose(met.log_mass.exp(), (law.log_p.exp() * torch.as_tensor(weights)).sum(1))
    assert (met.values > 0).all()
    assert NOTHING == 0


@pytest.mark.parametrize("name", ["x", "income", "age", "visits", "p", "share", "member", "g"])
def test_marginals_sum_up_what_is_drawn(joint, name):
    law, _ = contexts(joint, name)
    torch.manual_seed(4)
    n = 10_000
    drawn = law.take(torch.arange(CONTEXTS).repeat_interleave(n)).draw().reshape(CONTEXTS, n).numpy()
    found = law.marginal(CONTEXTS)
    pooled = law.marginal(CONTEXTS // 3)
    if name == "g":
        shares = np.stack([(drawn == level).mean(1) for level in range(3)], 1)
        assert np.abs(found.pmf - shares).max() < 0.02
        assert np.allclose(pooled.pmf, found.pmf.reshape(-1, 3, 3).mean(1))
        return
    below = np.stack([(drawn <= found.quantiles[:, [q]]).mean(1) for q in range(7)], 1)
    under = np.stack([(drawn < found.quantiles[:, [q]]).mean(1) for q in range(7)], 1)
    levels = np.array([0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975])
    assert ((below > levels - 0.02) & (under < levels + 0.02)).all()
    if name != "p":  # the mean of a logistic's exponential is not always finite
        spread = drawn.std(1)
        assert (np.abs(found.mean - drawn.mean(1)) < 0.06 * spread + 1e-9).all()
        assert np.allclose(found.sd, spread, rtol=0.1)
    assert np.allclose(pooled.mean, found.mean.reshape(-1, 3).mean(1))
    if name != "member":
        rows = drawn.reshape(CONTEXTS // 3, -1)
        assert (
            np.abs((rows <= pooled.quantiles[:, [3]]).mean(1) - 0.5) < 0.02 + (rows == pooled.quantiles[:, [3]]).mean(1)
        ).all()
