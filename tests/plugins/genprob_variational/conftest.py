"""A linear VAE on reals: factor analysis, whose every law is Gaussian."""

import numpy as np
import pytest
import torch

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob_variational.vae import VAE

NAMES = ("a", "b", "c", "d", "e")


def whole(schema, values):
    """All cells of `values` as a batch."""
    values = torch.as_tensor(values)
    return Batch(schema, values, torch.ones_like(values, dtype=torch.bool), torch.arange(len(values)), len(values))


class Exact:
    """The Gaussian that a linear VAE with a standard prior is, in data units."""

    def __init__(self, model):
        unit = model.heads.encoder.scale.numpy()
        self.loading = model.decoder[0].weight.detach().double().numpy() * unit[:, None]
        self.mean = model.decoder[0].bias.detach().double().numpy() * unit + model.heads.encoder.loc.numpy()
        self.noise = (model.heads.scale().detach().numpy() * unit) ** 2
        self.covariance = self.loading @ self.loading.T + np.diag(self.noise)

    def log_prob(self, rows):
        """log p of the known cells of each row."""
        out = np.zeros(len(rows))
        for i, row in enumerate(np.asarray(rows)):
            known = ~np.isnan(row)
            away = row[known] - self.mean[known]
            part = self.covariance[np.ix_(known, known)]
            out[i] = -0.5 * (
                away @ np.linalg.solve(part, away) + np.linalg.slogdet(part)[1] + known.sum() * np.log(2 * np.pi)
            )
        return out

    def conditional(self, row):
        """Mean and covariance of the unknown cells of one row."""
        known = ~np.isnan(row)
        gain = np.linalg.solve(self.covariance[np.ix_(known, known)], self.covariance[np.ix_(known, ~known)]).T
        centre = self.mean[~known] + gain @ (row[known] - self.mean[known])
        return centre, self.covariance[np.ix_(~known, ~known)] - gain @ self.covariance[np.ix_(known, ~known)]

    def code(self, row):
        """Mean and covariance of the code given the known cells of one row."""
        known = ~np.isnan(row)
        loading = self.loading[known]
        spread = np.linalg.inv(np.eye(loading.shape[1]) + loading.T @ (loading / self.noise[known, None]))
        return spread @ loading.T @ ((row[known] - self.mean[known]) / self.noise[known]), spread


@pytest.fixture(scope="session")
def rows():
    """600 rows of two factors and five reals in units of their own."""
    rng = np.random.default_rng(0)
    loading = np.array([[1.0, 0.0], [0.8, 0.5], [-0.6, 0.7], [0.0, 1.0], [0.5, -0.5]])
    x = rng.normal(size=(600, 2)) @ loading.T + 0.4 * rng.normal(size=(600, 5))
    return x * [1.0, 2.0, 0.5, 30.0, 1.0] + [0.0, 5.0, -3.0, 1e5, 0.0]


@pytest.fixture(scope="session")
def reals():
    return Schema(tuple(Variable(name, Real()) for name in NAMES))


def linear(schema, values, **options):
    """A linear VAE with its marginals set and everything else as it begins."""
    torch.manual_seed(0)
    model = VAE(schema, **{"latent": 2, "hidden": (), **options})
    model.prepare(whole(schema, values), seed=0)
    return model


@pytest.fixture(scope="session")
def table(rows):
    return {name: rows[:, i] for i, name in enumerate(NAMES)}
