"""Every kernel at settings that suit small targets; seeded random numbers."""

import pytest
import torch

from genprob.engine.kernels import (
    HMC,
    MALA,
    NUTS,
    ChEES,
    RandomWalk,
    ReplicaExchange,
    Slice,
)

KERNELS = {
    "random_walk": lambda f, **o: RandomWalk(f, **o),
    "mala": lambda f, **o: MALA(f, **o),
    "mala_dense": lambda f, **o: MALA(f, mass="dense", **o),
    "hmc": lambda f, **o: HMC(f, leapfrogs=8, **o),
    "hmc_dense": lambda f, **o: HMC(f, leapfrogs=6, mass="dense", **o),
    "chees": lambda f, **o: ChEES(f, longest=32, **o),
    "nuts": lambda f, **o: NUTS(f, depth=6, **o),
    "nuts_compact": lambda f, **o: NUTS(f, depth=6, compact=True, **o),
    "nuts_dense": lambda f, **o: NUTS(f, depth=6, mass="dense", **o),
    "slice": lambda f, **o: Slice(f, **o),
    "replica": lambda f, **o: ReplicaExchange(f, lambda g: HMC(g, leapfrogs=3), (1.0, 0.6, 0.3), **o),
}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


# Steps from draw to draw for those that move little.
THIN = {"random_walk": 10, "mala": 8, "slice": 5}


@pytest.fixture
def thin(request):
    return THIN.get(request.node.callspec.params["continuous"], 1)


@pytest.fixture(params=KERNELS)
def continuous(request):
    """Builds each kernel over reals from a log-density."""
    return KERNELS[request.param]
