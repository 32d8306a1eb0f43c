"""Labels as holes against truth: linear, it is a mixture of Gaussians with one covariance, a component per class."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats

import genprob
from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical, Real
from genprob.engine.blocks import Blocks
from genprob.engine.losses.elbo import elbo
from genprob.errors import UsageError
from genprob.joint import Joint
from genprob_variational.ssvae import SSVAE

LEVELS = ("u", "v", "w")
SCHEMA = Schema((*(Variable(name, Real()) for name in "abc"), Variable("label", Categorical(LEVELS))))


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(0)
    x = torch.as_tensor(np.c_[rng.normal(size=(200, 3)) * [1, 3, 0.2] + [0, 10, -1], rng.integers(0, 3, 200)])
    batch = Batch(SCHEMA, x, torch.ones_like(x, dtype=torch.bool), torch.arange(200), 200)
    torch.manual_seed(1)
    model = SSVAE(SCHEMA, latent=1, hidden=(), particles=8192)
    model.prepare(batch, seed=0)
    with torch.no_grad():
        model.decoder[0].weight.normal_(0, 1.0)
        model.class_logits.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
        model.heads.log_scale.fill_(-0.7)
    return Joint(SCHEMA, model.eval(), run=None, reference=batch, rows=200)


@pytest.fixture(scope="module")
def components(joint):
    """The Gaussian of each class, in data units."""
    model = joint.model
    unit, reals = model.heads.encoder.scale.numpy(), slice(0, 3)
    weight = model.decoder[0].weight.detach().double().numpy()[reals]
    bias = model.decoder[0].bias.detach().double().numpy()[reals]
    loading = weight[:, :1] * unit[:, None]
    covariance = loading @ loading.T + np.diag((model.heads.scale().detach().numpy() * unit) ** 2)
    means = [(weight[:, 1 + k] + bias) * unit + model.heads.encoder.loc.numpy() for k in range(3)]
    return [stats.multivariate_normal(mean, covariance) for mean in means]


def test_the_class_is_weighed_as_in_a_mixture(joint, components):
    x = components[1].mean * 0.5 + components[2].mean * 0.5
    answer = joint.query(["label"], dict(zip("abc", x, strict=True)), draws=100, budget=20_000)
    mass = np.array([p * law.pdf(x) for p, law in zip((0.2, 0.5, 0.3), components, strict=True)])
    error = answer["marginals"]["label_pmf_mcse"].values if "label_pmf_mcse" in answer["marginals"] else 0.02
    assert np.abs(answer["marginals"]["label_pmf"].values - mass / mass.sum()).max() < 4 * np.max(error) + 0.01
    assert abs(answer.attrs["log_evidence"] - np.log(mass.sum())) < 4 * answer.attrs["log_evidence_se"] + 0.01


def test_rows_are_scored_with_and_without_label(joint, components):
    rng = np.random.default_rng(2)
    x = components[0].rvs(40, random_state=rng)
    rows = {name: x[:, i] for i, name in enumerate("abc")}
    each = np.stack([np.log(p) + law.logpdf(x) for p, law in zip((0.2, 0.5, 0.3), components, strict=True)])
    blank = joint.log_prob(rows | {"label": np.array([None] * 40, dtype=object)})
    known = joint.log_prob(rows | {"label": np.array(["u"] * 40, dtype=object)})
    for found, exact in ((blank, np.logaddexp.reduce(each)), (known, each[0])):
        off = (found["log_prob"].values - exact) / np.maximum(found["standard_error"].values, 1e-3)
        assert np.abs(off).max() < 4.5 and np.abs(found["log_prob"].values - exact).mean() < 0.15


def test_the_bound_of_an_unlabelled_row_sums_its_class_out(joint):
    """sum_y q(y) (bound(y) - log q(y)), with the bound of each class from the same row labelled so."""
    model = copy.deepcopy(joint.model)
    with torch.no_grad():
        model.decoder[0].weight[:, 0] = 0.05  # the guide was never trained: a weak code keeps the noise down
    rows = joint.reference.take(torch.arange(3)).repeat(3000)
    loss, blocks = elbo(model), Blocks({"model": model})
    hidden = rows.observed.clone()
    hidden[:, 3] = False
    torch.manual_seed(0)
    free = Batch(SCHEMA, rows.values, hidden, rows.index, rows.total)
    found = float(loss(blocks, free)[1]["bound"].detach())
    with torch.no_grad():
        single = free.take(torch.arange(0, 9000, 3000))
        log_q = torch.log_softmax(model.classifier(model._unlabelled(model.features(single))), -1)
    wanted = 0.0
    for k in range(3):
        values = rows.values.clone()
        values[:, 3] = k
        labelled = Batch(SCHEMA, values, rows.observed, rows.index, rows.total)
        for i in range(3):
            part = labelled.take(torch.arange(3000) + 3000 * i)
            bound = float(loss(blocks, part)[1]["bound"].detach())
            wanted += float(log_q[i, k].exp()) * (bound - float(log_q[i, k])) / 3
    assert found == pytest.approx(wanted, abs=0.05)


def test_unlabelled_rows_find_the_classes():
    """Two clusters, four labels: the clusters are learned from the rest."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = rng.normal(size=(400, 2)) * 0.4 + np.array([[-1.0, 1.0], [1.0, -1.0]])[y]
    label = np.where(np.arange(400) < 12, y, np.nan)
    data = {"a": x[:, 0], "b": x[:, 1], "y": label}
    schema = {"y": "binary"}
    inference = {"name": "elbo", "lr": 0.02, "batch_size": 128, "holdout": 0.0}
    joint = genprob.fit(data, SSVAE, schema=schema, steps=150, latent=1, hidden=(16,), inference=inference)
    answer = joint.query(rows=[{"a": a, "b": b} for a, b in x[300:]], targets=["y"], draws=50, budget=256)
    assert ((answer["marginals"]["y_pmf"].values[:, 1] > 0.5) == y[300:]).mean() > 0.95


def test_what_is_no_label_is_refused():
    data = {"a": np.arange(20.0) / 7, "b": np.arange(20.0) ** 2 / 9}
    with pytest.raises(UsageError, match="needs a label"):
        genprob.fit(data, SSVAE)
    with pytest.raises(UsageError, match="scalar category or binary"):
        genprob.fit(data | {"g": ["x", "y"] * 10}, SSVAE, label="a")
    with pytest.raises(UsageError, match="alpha"):
        genprob.fit(data | {"g": ["x", "y"] * 10}, SSVAE, alpha=-1)


def test_the_classifier_is_blind_to_the_label_and_gives_way_to_it(joint):
    model, rows = joint.model, joint.reference.take(torch.arange(6))
    hidden = rows.observed.clone()
    hidden[:, 3] = False
    other = rows.values.clone()
    other[:, 3] = (other[:, 3] + 1) % 3
    with torch.no_grad():
        guessed, again = (
            model.classes_of(Batch(SCHEMA, values, hidden, rows.index, rows.total)) for values in (rows.values, other)
        )
        told = model.classes_of(rows)
    assert torch.allclose(guessed, again) and torch.allclose(guessed.sum(1), torch.ones(6))
    assert (told.argmax(1) == rows.values[:, 3]).all() and float(told.max(1).values.min()) > 0.999
    assert float(guessed.max()) < 0.999


def test_a_binary_label_is_certain_of_its_class():
    schema = Schema((Variable("a", Real()), Variable("y", Binary())))
    model = SSVAE(schema, latent=1, hidden=())
    hot = torch.eye(2)
    shifted = model.heads.shifted(model._told(torch.zeros(2, model.heads.width), hot))
    assert torch.allclose(
        model.heads.logits(shifted)[:, 0].sigmoid(), torch.tensor([0.0, 1.0]).to(shifted.dtype), atol=1e-9
    )
