"""Marginals of levels from the laws of particles, and cells weighed at once: both against a slow, plain account."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.query.batch import QueryBatch
from genprob.query.emission import EmissionCloud, log_mass

PARTICLES = 40


def data(rows=80, seed=0):
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "image": (("row", "y", "x"), rng.integers(0, 2, (rows, 2, 3))),
            "g": ("row", rng.choice(["a", "b", "c"], rows)),
            "grey": (("row", "k"), rng.integers(0, 20, (rows, 4)) * 0.5),
            "n": ("row", rng.poisson(3.0, rows)),
        }
    )


SCHEMA = {"image": "binary", "g": "categorical", "grey": {"support": "interval(-0.25, 9.75)", "measure": "cell(0.5)"},
          "n": "count"}  # fmt: skip


@pytest.fixture(scope="module", params=["normal", "logistic"])
def model(request):
    fitted = genprob.fit(data(), "vae", schema=SCHEMA, steps=3, latent=2, hidden=(8,), reals=request.param)
    return fitted.model


def cloud(model, evidence, seed=0):
    queries = QueryBatch.from_evidence(model.schema, evidence)
    torch.manual_seed(seed)
    shifted = model.heads.shifted(2.0 * torch.randn(len(evidence), PARTICLES, model.heads.width, dtype=torch.float64))
    log_weight = torch.randn(len(evidence), PARTICLES, dtype=torch.float64)
    return EmissionCloud(model.heads, shifted, log_weight, queries)


MASK = np.array([[True, False, False], [False, True, False]])
EVIDENCE = [
    {},
    {"image": genprob.Masked(data()["image"].values[0], MASK), "grey": data()["grey"].values[3]},
    {"g": genprob.Soft({"a": 0.2, "b": 0.7}), "n": 2},
    {
        "g": genprob.OneOf("a", "c"),
        "grey": genprob.Masked(data()["grey"].values[1], np.array([True, False, True, False])),
    },
]


def test_levels_are_averaged_as_many_draws_are(model):
    found = cloud(model, EVIDENCE)
    told = found.marginals(("image", "g", "n"))
    assert told["image"].rao_blackwell and told["g"].rao_blackwell and not told["n"].rao_blackwell
    weight = torch.softmax(found.log_weight, 1)
    torch.manual_seed(1)
    drawn = found.draw(torch.multinomial(weight, 20_000, replacement=True))
    image = drawn[..., model.schema.slices["image"]].reshape(4, -1, 2, 3)
    spread = 4.5 * np.sqrt(0.25 / 20_000)
    assert np.abs(told["image"].mean - image.mean(1)).max() < spread
    assert np.abs(told["image"].sd - image.std(1)).max() < 5 * spread
    level = drawn[..., model.schema.slices["g"]]
    assert np.abs(told["g"].pmf - (level == np.arange(3)).mean(1)).max() < spread
    assert np.allclose(told["g"].pmf.sum(-1), 1) and np.allclose(told["image"].pmf[..., 1], told["image"].mean)
    assert told["g"].pmf[3, 1] == 0
    median = told["image"].quantiles[:, 3]
    clear = np.abs(image.mean(1) - 0.5) > spread
    assert (median == (image.mean(1) > 0.5))[clear].all()


def test_known_cells_are_given_back_and_are_certain(model):
    found = cloud(model, EVIDENCE)
    drawn = found.draw(torch.zeros(4, 3, dtype=torch.long))
    image = drawn[..., model.schema.slices["image"]].reshape(4, 3, 2, 3)
    assert (image[1][:, MASK] == data()["image"].values[0][MASK]).all()
    assert (drawn[1][:, model.schema.slices["grey"]] == data()["grey"].values[3]).all()
    told = found.marginals(("image",))["image"]
    assert np.allclose(told.mean[1][MASK], data()["image"].values[0][MASK], atol=1e-12)
    assert (told.mcse[1][MASK] < 1e-12).all()


def test_the_error_is_that_of_the_weighted_mean(model):
    found = cloud(model, EVIDENCE[:1])
    weight = torch.softmax(found.log_weight, 1)[0].numpy()
    law = torch.softmax(model.heads.level_log_probs(found.shifted, model.schema.slices["g"].start), -1)[0].numpy()
    mean = weight @ law
    told = found.marginals(("g",))["g"]
    assert np.allclose(told.pmf[0], mean)
    assert np.allclose(told.pmf_mcse[0], np.sqrt((weight[:, None] ** 2 * (law - mean) ** 2).sum(0)))


def test_cells_weighed_at_once_are_those_weighed_one_by_one(model):
    """The mass of known cells is the sum, column by column, of the law's mass between the edges."""
    found, heads = cloud(model, EVIDENCE), model.heads
    for q in (1, 3):
        part = QueryBatch.from_evidence(model.schema, [{"grey": EVIDENCE[q]["grey"]}])
        told = log_mass(heads, found.shifted[q : q + 1], part)[0]
        plain = torch.zeros_like(told)
        for j in np.flatnonzero(part.kind[0] != 0).tolist():
            c = heads.reals.index(j)
            ends = [torch.tensor([part.a[0, j] + half], dtype=torch.float64) for half in (-0.25, 0.25)]
            lo, hi = (heads.encoder.column(c).encode(end) for end in ends)
            plain += heads.law(found.shifted[q], [c]).log_between(lo, hi)[..., 0]
        assert torch.allclose(told, plain, atol=1e-9)
