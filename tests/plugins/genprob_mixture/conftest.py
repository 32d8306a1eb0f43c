"""Joints with known parameters, without fitting."""

import numpy as np
import pytest
import torch

from genprob.data.batch import Batch
from genprob.joint import Joint
from genprob.testing.quadrature import QuadratureMixture
from genprob_mixture.mixture import Mixture


def mixture(reference: QuadratureMixture, *, covariance: str = "full", loc=0.3, scale=1.7) -> Mixture:
    """A mixture with the parameters of a reference joint, its encoder standardising by an arbitrary loc and scale."""
    model = Mixture(reference.schema, components=len(reference.weight), covariance=covariance, rank=1)
    d = len(model.encoder)
    loc, scale = np.full(d, loc) + 0.1 * np.arange(d), np.full(d, scale) / (1 + np.arange(d))
    model.encoder.loc.copy_(torch.as_tensor(loc))
    model.encoder.scale.copy_(torch.as_tensor(scale))
    parameters = {"logits": np.log(reference.weight)}
    if d:
        parameters["mean"] = (reference.mean - loc) / scale
        inner = reference.covariance / np.outer(scale, scale)
        factor = np.linalg.cholesky(inner)
        diagonal = np.log(np.diagonal(factor, axis1=1, axis2=2))
        if covariance == "full":
            parameters["factor"] = np.tril(factor, -1) + diagonal[:, :, None] * np.eye(d)
        else:
            assert np.allclose(inner, inner * np.eye(d))
            parameters["log_scale"] = 0.5 * np.log(np.diagonal(inner, axis1=1, axis2=2))
    if model.tables.width:
        names = [reference.schema.columns[j].name for j in model.tables.levels]
        parameters["table"] = np.concatenate([np.log(reference.levels[n]) for n in names], 1) + 0.7
    if model.tables.counts:
        names = [reference.schema.columns[j].name for j in model.tables.counts]
        parameters["log_mean"] = np.stack([np.log(reference.counts[n][0]) for n in names], 1)
        parameters["log_size"] = np.stack([np.log(reference.counts[n][1]) for n in names], 1)
    model.write({k: torch.as_tensor(v) for k, v in parameters.items()})
    return model.eval()


def joint(reference: QuadratureMixture, *, rows: int = 10_000, seed: int = 5, **options) -> Joint:
    """The reference as a joint, with 256 rows of it to judge support against."""
    sample = torch.as_tensor(reference.sample(256, np.random.default_rng(seed)))
    known = torch.ones_like(sample, dtype=torch.bool)
    batch = Batch(reference.schema, sample, known, torch.arange(256), 256)
    return Joint(reference.schema, mixture(reference, **options), run=None, reference=batch, rows=rows)


@pytest.fixture(scope="session")
def known():
    """`known(reference, **options)`: the joint of a reference."""
    return joint
