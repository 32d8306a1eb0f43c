"""Chains over the code, and over code and unknown cells, against the Gaussian that a linear VAE is."""

import numpy as np
import pytest
import torch

import genprob
from genprob.joint import Joint

from .conftest import NAMES, Exact, linear, whole


@pytest.fixture(scope="module")
def joint(reals, rows):
    """A linear VAE with loadings of its own, whose guide points the right way, but too short and too wide."""
    model = linear(reals, rows)
    with torch.no_grad():
        decoder, encoder = model.decoder[0], model.encoder[0]
        decoder.weight.normal_(0, 0.8)
        model.heads.log_scale.uniform_(-1.0, -0.3)
        loading, precision = decoder.weight.double(), model.heads.scale() ** -2
        posterior = torch.linalg.inv(torch.eye(2) + loading.T * precision @ loading)
        gain = 0.8 * posterior @ (loading.T * precision)
        encoder.weight.zero_()
        encoder.missing.zero_()
        encoder.weight[:2] = gain
        encoder.bias[:2] = -(gain @ decoder.bias.double())
        encoder.bias[2:] = (1.3 * posterior.diagonal().sqrt()).log()
    return Joint(reals, model.eval(), run=None, reference=whole(reals, rows), rows=600)


@pytest.mark.parametrize("strategy", ["latent-hmc", "pseudo-gibbs", "smc", "importance"])
def test_conditionals_agree_with_the_truth(joint, rows, strategy):
    exact = Exact(joint.model)
    given = [np.where(mask, rows[7], np.nan) for mask in ([1, 1, 0, 0, 1], [0, 1, 1, 0, 0])]
    asked = [{n: v for n, v in zip(NAMES, row, strict=True) if not np.isnan(v)} for row in given]
    answer = joint.query(rows=asked, draws=1500, strategy=strategy, budget=8000 if strategy == "importance" else None)
    for q, row in enumerate(given):
        centre, spread = exact.conditional(row)
        unknown = [n for n, v in zip(NAMES, row, strict=True) if np.isnan(v)]
        drawn = np.stack([answer["posterior"][n].values[q].ravel() for n in unknown], 1)
        unit = np.sqrt(np.diag(spread))
        assert np.allclose((drawn.mean(0) - centre) / unit, 0, atol=0.2), strategy
        assert np.allclose(np.cov(drawn.T) / np.outer(unit, unit), spread / np.outer(unit, unit), atol=0.25)
        for j, name in enumerate(unknown):
            off = float(answer["marginals"][f"{name}_mean"].values[q]) - centre[j]
            assert abs(off) < 5 * float(answer["marginals"][f"{name}_mcse"].values[q])
    if strategy in ("latent-hmc", "pseudo-gibbs"):
        assert float(np.max(answer["sample_stats"]["rhat"].values)) < 1.05


def test_pseudo_gibbs_is_exact_under_a_guide_that_never_looks(joint, rows):
    """The guide draws from one law, off the posterior, whatever the row is: the correction makes the chain right."""
    encoder, exact = joint.model.encoder[0], Exact(joint.model)
    row = np.where([1, 0, 1, 0, 1], rows[7], np.nan)
    given = {n: v for n, v in zip(NAMES, row, strict=True) if not np.isnan(v)}
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    try:
        with torch.no_grad():
            encoder.weight.zero_()
            encoder.missing.zero_()
            loc, spread = exact.code(row)
            sd = np.sqrt(np.diag(spread))
            encoder.bias[:] = torch.as_tensor(np.r_[loc + 1.5 * sd, np.log(1.4 * sd)])
        answer = joint.query(given=given, draws=2000, strategy="pseudo-gibbs")
    finally:
        with torch.no_grad():
            for name, p in encoder.named_parameters():
                p.copy_(before[name])
    centre, spread = exact.conditional(row)
    unit, correlation = np.sqrt(np.diag(spread)), spread / np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
    drawn = (np.stack([answer["posterior"][n].values.ravel() for n in ("b", "d")], 1) - centre) / unit
    assert float(answer["sample_stats"]["acceptance"].mean()) < 0.6
    assert np.allclose(drawn.mean(0), 0, atol=0.15) and np.allclose(np.cov(drawn.T), correlation, atol=0.25), (
        drawn.mean(0),
        np.cov(drawn.T) - correlation,
    )


def test_what_each_is_offered_for(joint, rows):
    offers = {w.strategy: w.offered for w in joint.explain(["b"], {"a": genprob.Within(0.5, None)}).offers}
    assert offers["latent-hmc"] and not offers["pseudo-gibbs"]
    offers = {w.strategy: w.offered for w in joint.explain(["b"], {"a": 0.5}).offers}
    assert offers["latent-hmc"] and offers["pseudo-gibbs"]


@pytest.mark.slow
def test_a_range_is_met_by_chains_over_the_code(joint, rows):
    exact, lo = Exact(joint.model), float(rows[:, 0].mean() + rows[:, 0].std())
    answer = joint.query(["b"], {"a": genprob.Within(lo, None)}, draws=1500, strategy="latent-hmc")
    drawn = np.random.default_rng(0).multivariate_normal(exact.mean, exact.covariance, 200_000)
    kept = drawn[drawn[:, 0] > lo, 1]
    assert abs(float(answer["posterior"]["b"].mean()) - kept.mean()) < 0.2 * kept.std()


def test_a_misfit_guide_is_seen_and_escalated(joint, rows):
    """A guide that points far away with confidence: importance fails its own checks, and another strategy answers."""
    encoder = joint.model.encoder[0]
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    exact = Exact(joint.model)
    row = np.where([1, 1, 1, 1, 0], rows[11], np.nan)
    try:
        with torch.no_grad():
            encoder.weight.zero_()
            encoder.missing.zero_()
            encoder.bias[:2] += 8.0
            encoder.bias[2:] = -3.0
        given = {n: v for n, v in zip(NAMES, row, strict=True) if not np.isnan(v)}
        alone = joint.query(["e"], given, strategy="importance", budget=256, draws=200)
        answer = joint.query(["e"], given, budget=64, draws=1000)
    finally:
        with torch.no_grad():
            for name, p in encoder.named_parameters():
                p.copy_(before[name])
    assert alone.attrs["computation"] == "fail"
    centre, spread = exact.conditional(row)
    assert answer.attrs["tries"] > 1 and answer.attrs["computation"] == "ok"
    assert abs(float(answer["posterior"]["e"].mean()) - centre[0]) < 0.25 * np.sqrt(spread[0, 0])
