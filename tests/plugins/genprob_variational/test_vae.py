"""The VAE against truth: linear, it is factor analysis; every option against the law that it names."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis

import genprob
from genprob.engine.losses.weights import weights
from genprob.errors import Diverged, UsageError
from genprob_variational.vae import VAE

from .conftest import NAMES, Exact, linear, whole


@pytest.fixture(scope="module", params=["elbo", "iwae"])
def joint(request, table):
    inference = {"name": request.param, "lr": 0.04, "amortise": 1.0, "holdout": 0.0, "batch_size": 256}
    return genprob.fit(table, VAE, steps=300, inference=inference, latent=2, hidden=())


@pytest.fixture(scope="module")
def exact(joint):
    return Exact(joint.model)


def test_it_learns_as_much_as_factor_analysis_can(joint, exact, rows):
    unit = rows.std(0)
    best = FactorAnalysis(2).fit((rows - rows.mean(0)) / unit).score((rows - rows.mean(0)) / unit) - np.log(unit).sum()
    assert best - 0.06 < exact.log_prob(rows).mean() < best + 0.001


def test_log_prob_within_its_error_for_every_mask(joint, exact, rows):
    rng = np.random.default_rng(1)
    holed = np.where(rng.random((80, 5)) < 0.4, np.nan, rows[:80])
    scored = joint.log_prob({name: holed[:, i] for i, name in enumerate(NAMES)})
    error = scored["standard_error"].values
    off = (scored["log_prob"].values - exact.log_prob(holed))[error > 0] / error[error > 0]
    assert scored.attrs["kind"] == "estimate" and error.mean() < 0.1
    assert np.abs(off).max() < 4.5 and off.std() < 1.5


def test_conditionals(joint, exact, rows):
    row = np.where([True, False, True, False, True], rows[3], np.nan)
    given = {name: value for name, value in zip(NAMES, row, strict=True) if not np.isnan(value)}
    answer = joint.query(given=given, draws=4000, budget=4000)
    centre, spread = exact.conditional(row)
    drawn = np.stack([answer["posterior"][name].values.ravel() for name in ("b", "d")], 1)
    unit = np.sqrt(np.diag(spread))
    assert answer.attrs["computation"] == "ok"
    assert np.allclose((drawn.mean(0) - centre) / unit, 0, atol=0.1)
    assert np.allclose(np.cov(drawn.T) / np.outer(unit, unit), spread / np.outer(unit, unit), atol=0.1)
    assert abs(answer.attrs["log_evidence"] - exact.log_prob(row[None])[0]) < 4 * answer.attrs["log_evidence_se"]


@pytest.mark.parametrize("options", [{"latent": 0}, {"hidden": (8, 0)}, {"prior": "mixture", "components": 0}])
def test_sizes_that_are_none_are_refused(table, options):
    with pytest.raises(UsageError, match=r"at least 1"):
        genprob.fit(table, VAE, **options)


def test_the_bound_of_rows_with_holes_rises_to_the_evidence_of_their_known_cells(reals, rows):
    model = linear(reals, rows)
    with torch.no_grad():
        model.decoder[0].weight.normal_(0, 0.5)
        for part in model.encoder[0].parameters():
            part.mul_(0.3)  # a guide near the prior covers every posterior
    holed = np.where(np.random.default_rng(0).random((8, 5)) < 0.5, np.nan, rows[:8])
    batch = whole(reals, np.nan_to_num(holed))
    batch = replace(batch, observed=torch.as_tensor(~np.isnan(holed)))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = weights(model, batch, 20_000).log_weight
    found, single = torch.logsumexp(drawn, 1) - np.log(20_000), drawn.mean(1)
    exact = Exact(model).log_prob(holed)
    assert np.allclose(found.numpy(), exact, atol=0.1)
    assert (single.numpy() <= exact + 0.02).all()


def test_a_collapsed_posterior_is_remarked(reals, rows):
    model = linear(reals, rows)
    batch = whole(reals, rows)
    with torch.no_grad():
        assert model.remarks(batch)[0].startswith("code: 2 of 2")
        for part in (model.encoder[0].weight, model.encoder[0].missing):
            part[0].zero_()
        assert model.remarks(batch) == ["code: 1 of 2 coordinates in use"]
        for part in (model.encoder[0].weight, model.encoder[0].missing):
            part.zero_()
        notes = model.remarks(batch)
    assert notes[0].startswith("code: 0 of 2") and "collapsed" in notes[1]


def test_a_fit_says_how_much_of_the_code_is_in_use(joint):
    assert any("coordinates in use" in note for note in joint.notes)


def test_a_loss_that_is_no_number_ends_the_fit_and_keeps_the_last_good_checkpoint(table, tmp_path):
    inference = {"name": "elbo", "lr": 1e30, "clip": None, "holdout": 0.0}
    with pytest.raises(Diverged, match="last good checkpoint is kept") as caught:
        genprob.fit(table, VAE, out=tmp_path / "run", steps=100, latent=2, hidden=(), inference=inference)
    assert caught.value.exit_code == 7 and "\n" not in str(caught.value)
    kept = genprob.load(tmp_path / "run")
    assert all(torch.isfinite(p).all() for p in kept.model.parameters())
    assert np.isfinite(kept.log_prob({name: column[:3] for name, column in table.items()})["log_prob"].values).all()
