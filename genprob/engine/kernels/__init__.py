"""Kernels: each module holds one Markov transition, pure and batched over chains and queries.

>>> import torch
>>> from genprob.engine.kernels import NUTS, sample
>>> _ = torch.manual_seed(0)
>>> draws, stats = sample(NUTS(lambda x: -0.5 * x.square().sum(-1)), torch.zeros(16, 3), warmup=100, draws=100)
>>> draws.shape
torch.Size([100, 16, 3])
"""

from genprob.engine.kernels.chees import ChEES
from genprob.engine.kernels.elliptical import EllipticalSlice
from genprob.engine.kernels.gibbs import BinaryGibbs, BlockGibbs
from genprob.engine.kernels.gwg import GibbsWithGradients
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.langevin import Langevin
from genprob.engine.kernels.mala import MALA
from genprob.engine.kernels.nuts import NUTS
from genprob.engine.kernels.random_walk import RandomWalk
from genprob.engine.kernels.replica import ReplicaExchange
from genprob.engine.kernels.sampling import sample
from genprob.engine.kernels.single_site import SingleSiteGibbs, coloured, enumerated
from genprob.engine.kernels.slice import Slice

__all__ = [
    "HMC",
    "MALA",
    "NUTS",
    "BinaryGibbs",
    "BlockGibbs",
    "ChEES",
    "EllipticalSlice",
    "GibbsWithGradients",
    "Langevin",
    "RandomWalk",
    "ReplicaExchange",
    "SingleSiteGibbs",
    "Slice",
    "coloured",
    "enumerated",
    "sample",
]
