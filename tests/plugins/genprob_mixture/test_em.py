"""EM: it climbs, agrees with scikit-learn and with a naive loop over rows, and ends where the gradient vanishes."""

import numpy as np
import pytest
import torch
from scipy import stats

from genprob.data.batch import as_batch
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Count, Positive, Real
from genprob.data.table import Table
from genprob_mixture.mixture import Mixture

MIXED = Schema(
    (
        Variable("x", Real()),
        Variable("g", Categorical(("a", "b", "c"))),
        Variable("p", Positive()),
        Variable("n", Count()),
        Variable("c", Real(), Cell(0.5)),
        Variable("b", Binary()),
        Variable("y", Real()),
    )
)
REALS = Schema(tuple(Variable(name, Real()) for name in "xyzw"))


def mixed(n=300, holes=0.25, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 3, n)
    centre = np.array([[0, 0, 0, 0], [2, 1, -1, 2], [-2, 1, 2, 0]])
    z = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) * 0.6 + centre[k]
    values = np.column_stack(
        [z[:, 0], (k + rng.integers(0, 2, n)) % 3, np.exp(z[:, 1]), rng.poisson(1 + 4 * k), np.round(2 * z[:, 2]) / 2,
         rng.random(n) < 0.2 + 0.3 * k, z[:, 3]]
    )  # fmt: skip
    values[rng.random(values.shape) < holes] = np.nan
    return Table(MIXED, values)


def reals(n=400, holes=0.0, seed=0):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 3, n)
    values = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + 2.5 * rng.normal(size=(3, 4))[k]
    values[rng.random(values.shape) < holes] = np.nan
    return Table(REALS, values)


def begun(table, **options):
    batch = as_batch(table)
    model = Mixture(table.schema, **{"components": 3, "smoothing": 0.0, "shrinkage": 0.0, "ridge": 1e-9, **options})
    model.prepare(batch, seed=0)
    return model, batch


def climb(model, batch, steps):
    trace = []
    for _ in range(steps):
        statistics, metrics = model.expectation(batch)
        trace.append(metrics)
        model.write(model.maximisation(statistics, batch))
    return [float(m["objective"]) for m in trace], [float(m["log_likelihood"]) for m in trace]


@pytest.mark.parametrize("transform", ["support", "yeo-johnson"])
@pytest.mark.parametrize("shrinkage, smoothing", [(0.0, 0.0), (6.0, 1.0), (None, 0.3)])
@pytest.mark.parametrize("covariance", ["full", "diagonal", "low-rank"])
def test_the_objective_rises_at_every_iteration(covariance, shrinkage, smoothing, transform):
    options = {"shrinkage": shrinkage, "smoothing": smoothing, "transform": transform}
    model, batch = begun(mixed(), covariance=covariance, ridge=1e-4, rank=2, **options)
    objective, likelihood = climb(model, batch, 40)
    assert (np.diff(objective) > -1e-9).all(), np.diff(objective).min()
    assert objective[-1] - objective[0] > 0.01
    if shrinkage == smoothing == 0.0:
        np.testing.assert_allclose(objective, likelihood, atol=1e-12)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_the_likelihood_that_em_reports_is_that_of_the_density(holes):
    model, batch = begun(reals(holes=holes))
    reported = float(model.expectation(batch)[1]["log_likelihood"])
    assert reported == pytest.approx(float(model.score_rows(batch).mean()), abs=1e-9)
    weight, mean, covariance = (t.detach().numpy() for t in (model.weights().exp(), model.mean, model.covariance()))
    scale, loc = model.encoder.scale.numpy(), model.encoder.loc.numpy()
    values, own = batch.values.numpy(), []
    for row, known in zip(values, batch.observed.numpy(), strict=True):
        o = np.flatnonzero(known)
        own.append(np.log(sum(
            w * stats.multivariate_normal.pdf(row[o], (m * scale + loc)[o], (s * np.outer(scale, scale))[np.ix_(o, o)])
            for w, m, s in zip(weight, mean, covariance, strict=True)
        )) if len(o) else 0.0)  # fmt: skip
    assert reported == pytest.approx(np.mean(own), abs=1e-9)


def test_em_on_complete_data_is_scikit_learns():
    from sklearn.mixture import GaussianMixture

    table = reals(600)
    model, batch = begun(table)
    weight, mean, covariance = (t.detach().numpy() for t in (model.weights().exp(), model.mean, model.covariance()))
    z = model.encoder.encode(batch.values).numpy()
    jacobian = float(model.encoder.log_jacobian(batch.values).sum(1).mean())
    for steps in (1, 5, 25):
        peer = GaussianMixture(
            3, reg_covar=0.0, tol=0.0, max_iter=steps, weights_init=weight, means_init=mean,
            precisions_init=np.linalg.inv(covariance),
        )  # fmt: skip
        with pytest.warns(UserWarning, match="did not converge"):
            peer.fit(z)
        ours, _ = begun(table)
        climb(ours, batch, steps)
        likelihood = float(ours.expectation(batch)[1]["log_likelihood"])
        assert likelihood == pytest.approx(peer.score(z) + jacobian, abs=1e-6)
        np.testing.assert_allclose(ours.weights().exp().detach(), peer.weights_, atol=1e-5)
        np.testing.assert_allclose(ours.mean.detach(), peer.means_, atol=1e-5)
        np.testing.assert_allclose(ours.covariance().detach(), peer.covariances_, atol=1e-5)


def naive_step(model, batch):
    """One EM step by a loop over rows, in encoded coordinates."""
    weight, mean, covariance = (t.detach().numpy() for t in (model.weights().exp(), model.mean, model.covariance()))
    z, known = model.encoder.encode(batch.values).numpy(), batch.observed.numpy()
    total, first, second = np.zeros(3), np.zeros((3, 4)), np.zeros((3, 4, 4))
    for row, mask in zip(z, known, strict=True):
        o, m = np.flatnonzero(mask), np.flatnonzero(~mask)
        share = weight.copy()
        for k in range(3):
            if len(o):
                share[k] *= stats.multivariate_normal.pdf(row[o], mean[k][o], covariance[k][np.ix_(o, o)])
        share /= share.sum()
        for k in range(3):
            s, full, rest = covariance[k], row.copy(), np.zeros((4, 4))
            gain = s[np.ix_(m, o)] @ np.linalg.inv(s[np.ix_(o, o)])
            full[m] = mean[k][m] + gain @ (row[o] - mean[k][o])
            rest[np.ix_(m, m)] = s[np.ix_(m, m)] - gain @ s[np.ix_(o, m)]
            total[k] += share[k]
            first[k] += share[k] * full
            second[k] += share[k] * (np.outer(full, full) + rest)
    centre = first / total[:, None]
    return total / total.sum(), centre, second / total[:, None, None] - centre[:, :, None] * centre[:, None, :]


@pytest.mark.parametrize("holes", [0.0, 0.15, 0.6])
def test_a_step_is_that_of_a_loop_over_rows(holes):
    model, batch = begun(reals(150, holes))
    for _ in range(3):
        weight, mean, covariance = naive_step(model, batch)
        climb(model, batch, 1)
        np.testing.assert_allclose(model.weights().exp().detach(), weight, atol=1e-9)
        np.testing.assert_allclose(model.mean.detach(), mean, atol=1e-8)
        np.testing.assert_allclose(model.covariance().detach(), covariance, atol=1e-7)


def test_wide_tables_take_the_same_step():
    """Above some number of columns rows are whitened instead of multiplied out."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(300, 36)) @ rng.normal(size=(36, 36)) * 0.2 + rng.integers(0, 2, (300, 1)) * 2.0
    schema = Schema((Variable("v", Real(), dims=("t",), shape=(36,)),))
    holed = values.copy()
    holed[:40, :3] = np.nan
    for data in (values, holed):
        model, batch = begun(Table(schema, data), components=2, shrinkage=40.0)
        reported = float(model.expectation(batch)[1]["log_likelihood"])
        assert reported == pytest.approx(float(model.score_rows(batch).mean()), abs=1e-7)
        objective, _ = climb(model, batch, 8)
        assert (np.diff(objective) > -1e-9).all()


def gradients(model, batch):
    """Of the log-likelihood of the known cells, by automatic differentiation."""
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.numel()), strict=True)
    likelihood = torch.logsumexp(model.weights() + model.component_log_density(batch), -1).mean()
    found = torch.autograd.grad(likelihood, parameters, materialize_grads=True)
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("table", [reals(250, 0.3), mixed(250)], ids=["reals", "mixed"])
def test_em_with_holes_ends_where_the_gradient_vanishes(table):
    model, batch = begun(table, components=2)
    objective, _ = climb(model, batch, 1500)
    assert objective[-1] - objective[-50] < 1e-9
    for name, gradient in gradients(model, batch).items():
        if name != "log_size":  # found on a grid, not by a derivative
            assert gradient.abs().max() < 2e-4, (name, gradient)
    before = gradients(begun(table, components=2)[0], batch)
    assert max(gradient.abs().max() for gradient in before.values()) > 1e-2


def test_a_component_without_rows_stays_proper():
    model, batch = begun(reals(100), components=3, shrinkage=4.0)
    with torch.no_grad():
        model.mean[0] = 1e3
    climb(model, batch, 5)
    assert torch.isfinite(model.weights()).all() and torch.isfinite(model.score_rows(batch)).all()
    assert (torch.linalg.eigvalsh(model.covariance()) > 0).all()


@pytest.mark.parametrize("covariance", ["full", "diagonal", "low-rank"])
def test_no_direction_is_narrower_than_the_floor(covariance):
    values = np.repeat(np.random.default_rng(0).normal(size=(40, 1)), 4, axis=1)  # perfectly correlated
    model, batch = begun(Table(REALS, values), components=4, ridge=1e-3, covariance=covariance, rank=1)
    climb(model, batch, 20)
    assert torch.linalg.eigvalsh(model.covariance()).min().item() > 1e-3 * (1 - 1e-6)


def test_rounding_sets_the_floor_of_a_cell_column():
    values = np.round(np.random.default_rng(0).normal(size=(200, 1)) * 0.3) + 5.0
    schema = Schema((Variable("c", Real(), Cell(1.0)),))
    model, batch = begun(Table(schema, values), components=3, ridge=1e-6)
    climb(model, batch, 30)
    sd = (model.covariance()[:, 0, 0].sqrt() * model.encoder.scale).detach()
    assert (sd > 0.99 / np.sqrt(12)).all()


def test_shrinkage_draws_covariances_together():
    spreads = []
    for shrinkage in (0.0, 20.0, 1e5):
        model, batch = begun(reals(200), shrinkage=shrinkage)
        climb(model, batch, 30)
        covariance = model.covariance().detach()
        spreads.append(float((covariance - covariance.mean(0)).abs().max()))
    assert spreads[0] > 2 * spreads[1] > 20 * spreads[2]


def test_smoothing_keeps_unseen_levels_possible():
    x = np.random.default_rng(0).normal(size=50) + np.repeat([0.0, 4.0], 25)
    values = np.column_stack([np.zeros(50), x])
    schema = Schema((Variable("g", Categorical(("a", "b"))), Variable("x", Real())))
    model, batch = begun(Table(schema, values), components=2, smoothing=1.0)
    climb(model, batch, 5)
    seldom = model.level_log_probs().exp()[:, 1].detach()
    assert (seldom > 1e-4).all() and (seldom < 0.05).all()
