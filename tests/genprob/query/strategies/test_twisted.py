"""Twisted sequential Monte Carlo on a diffusion whose score is known: a mixture of two Gaussians, smoothed."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from genprob import OneOf, Soft, Within
from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.measure import Cell
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.joint import Joint
from genprob.model import Model
from genprob.query.batch import QueryBatch
from genprob.query.strategies.twisted import Twisted, log_evidence

SHARE = (0.3, 0.7)
MEAN = np.array([[-1.2, 0.9], [0.6, -0.5]])
COVARIANCE = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.25, -0.15], [-0.15, 0.4]]])


class Known(Model):
    """The score of the smoothed mixture, exactly."""

    precision = torch.float64

    def __init__(self, schema, levels=100, least=0.01):
        super().__init__(schema)
        self.encoder = Encoder(schema)
        self.register_buffer("levels", torch.logspace(math.log10(least), 1, levels, dtype=torch.float64))

    def score(self, points, noise):
        eye = torch.eye(2, dtype=torch.float64)
        parts, slopes = [], []
        for share, mean, covariance in zip(SHARE, MEAN, COVARIANCE, strict=True):
            total = torch.as_tensor(covariance) + noise[:, None, None].double() ** 2 * eye
            off = points.double() - torch.as_tensor(mean)
            solved = torch.linalg.solve(total, off[..., None])[..., 0]
            parts.append(math.log(share) - 0.5 * (off * solved).sum(1) - 0.5 * torch.logdet(total))
            slopes.append(-solved)
        weight = torch.softmax(torch.stack(parts, 1), 1)
        return (weight[..., None] * torch.stack(slopes, 1)).sum(1)

    def draw(self, draws):
        rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
        k = (rng.random(draws) > SHARE[0]).astype(int)
        return MEAN[k] + (np.linalg.cholesky(COVARIANCE)[k] @ rng.normal(size=(draws, 2, 1)))[..., 0]


def joint_of(cell=None):
    schema = Schema((Variable("x", Real()), Variable("y", Real(), measure=cell)))
    values = torch.zeros(4, 2, dtype=torch.float64)
    batch = Batch(schema, values, torch.ones(4, 2, dtype=torch.bool), torch.arange(4), 4)
    return Joint(schema, Known(schema).eval(), run=None, reference=batch, rows=1000)


def truth(weight_of_y):
    """log-evidence and the mean of x under p(x, y) times a likelihood of y, by quadrature."""
    y = np.linspace(-4, 4, 4001)
    dy, weight = y[1] - y[0], weight_of_y(y)
    mass = mean = 0.0
    for share, m, c in zip(SHARE, MEAN, COVARIANCE, strict=True):
        density = share * norm.pdf(y, m[1], math.sqrt(c[1, 1])) * weight
        mass += density.sum() * dy
        mean += (density * (m[0] + c[0, 1] / c[1, 1] * (y - m[1]))).sum() * dy
    return math.log(mass), mean / mass


KINDS = {
    "range": (Within(0.1, 0.8), lambda y: (y > 0.1) & (y < 0.8)),
    "half-line": (Within(0.7, None), lambda y: y > 0.7),
    "reading": (Soft(0.2, sd=0.4), lambda y: norm.pdf(0.2, y, 0.4)),
}


def agrees(answer, evidence, mean):
    found, error = answer.attrs["log_evidence"], answer.attrs["log_evidence_se"]
    assert answer.attrs["law"] == "diffusion" and answer.attrs["guarantee"] == "consistent"
    assert answer.attrs["computation"] == "ok", answer.attrs["reasons"]
    assert abs(found - evidence) < 4 * error + 0.05
    sd = float(answer["marginals"]["x_sd"])
    assert abs(float(answer["marginals"]["x_mean"]) - mean) < 4 * sd / math.sqrt(answer.attrs["ess"]) + 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_sets_and_readings_have_the_exact_conditional_and_evidence(kind):
    evidence, weight = KINDS[kind]
    agrees(joint_of().query(["x"], {"y": evidence}, seed=1, budget=2048), *truth(weight))


def test_points_have_the_exact_conditional_and_evidence():
    for seed, y in enumerate((-0.4, 0.5, 1.1)):
        mass = [s * norm.pdf(y, m[1], math.sqrt(c[1, 1])) for s, m, c in zip(SHARE, MEAN, COVARIANCE, strict=True)]
        means = [m[0] + c[0, 1] / c[1, 1] * (y - m[1]) for m, c in zip(MEAN, COVARIANCE, strict=True)]
        mean = np.dot(mass, means) / sum(mass)
        agrees(joint_of().query(["x"], {"y": y}, seed=seed, budget=2048), math.log(sum(mass)), mean)


def test_rounded_reals_are_given_as_their_cells():
    joint = joint_of(Cell(0.5))
    agrees(joint.query(["x"], {"y": 0.5}, seed=2), *truth(lambda y: (y > 0.25) & (y < 0.75)))
    answer = joint.query(["x"], {"y": OneOf(-1.0, 1.0)}, seed=3)
    agrees(answer, *truth(lambda y: ((y > -1.25) & (y < -0.75)) | ((y > 0.75) & (y < 1.25))))
    drawn = joint.query(["y"], {"x": Within(-1.0, 0.0)}, draws=50)["posterior"]["y"].values
    assert np.array_equal(drawn, np.round(drawn * 2) / 2)


def test_estimates_of_the_evidence_are_unbiased_and_their_errors_honest():
    joint = joint_of()
    many = QueryBatch.from_evidence(joint.schema, [{"y": 0.5}] * 40, ["x"])
    torch.manual_seed(0)
    value, error = log_evidence(joint.model, many, 128)
    off = value - truth_of_point(0.5)
    assert abs(np.exp(off).mean() - 1) < 3 * np.exp(off).std() / math.sqrt(40) + 0.03
    assert 0.6 < off.std() / error.mean() < 1.6


def truth_of_point(y):
    return math.log(
        sum(s * norm.pdf(y, m[1], math.sqrt(c[1, 1])) for s, m, c in zip(SHARE, MEAN, COVARIANCE, strict=True))
    )


def test_a_budget_too_small_is_said_to_be():
    answer = joint_of().query(["x"], {"y": 9.0}, draws=20, budget=32)
    assert answer.attrs["reliable"] == 0 and answer.attrs["computation"] in ("ok", "fail")
    one = Twisted().answer(joint_of(), QueryBatch.from_evidence(joint_of().schema, [{"y": 9.0}], ["x"]), 10, 32)
    assert one.failures[0]


def test_models_without_a_score_are_refused_in_words():
    joint = joint_of()
    plain = Joint(joint.schema, Model(joint.schema), run=None, reference=joint.reference, rows=4)
    (word,) = Twisted().offer(plain, QueryBatch.from_evidence(joint.schema, [{"y": 0.5}], ["x"]))
    assert word.reason == "the model is no diffusion"
