"""Running moments are those of all positions at once."""

import pytest
import torch

from genprob.engine.kernels import moments


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("lead", [1, 2])
def test_moments_are_those_of_all_positions(lead, dense):
    steps = [torch.randn(3, 5, 4).double() + 2 * step for step in range(6)]
    steps = [step if lead == 2 else step[0] for step in steps]
    memory = moments.nothing(steps[0], lead, dense=dense)
    for position in steps:
        memory = moments.seen(position, memory, lead, dense=dense)
    together = torch.cat(steps, lead - 1)
    queries = together if lead == 2 else together[None]
    mean, covariance = queries.mean(1), torch.stack([query.T.cov() for query in queries])
    spread = covariance if dense else covariance.diagonal(dim1=-2, dim2=-1)
    count = together.shape[lead - 1]
    assert memory["count"] == count == 30
    torch.testing.assert_close(memory["mean"].reshape(mean.shape), mean)
    torch.testing.assert_close((memory["squares"] / (count - 1)).reshape(spread.shape), spread)
    scale = moments.scale(memory, lead, dense=dense).reshape(spread.shape)
    found = scale @ scale.mT if dense else scale.square()
    small = 5e-3 / (count + 5) * (torch.eye(4) if dense else 1.0)
    torch.testing.assert_close(found, spread * count / (count + 5) + small)
