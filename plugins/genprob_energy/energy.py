"""The deep energy: a network over standardised reals."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.engine.kernels.hmc import HMC
from genprob.engine.kernels.replica import ReplicaExchange
from genprob.engine.transition import Kernel
from genprob.errors import UsageError
from genprob.nets.conv import ConvEncoder, images
from genprob.nets.mlp import mlp
from genprob.query.batch import POINT, QueryBatch
from genprob_energy.added import Added, Differentiated, Perceptron
from genprob_energy.annealed import AnnealedEnergy, EnergyChains, completed
from genprob_energy.base import NormalMixture
from genprob_energy.coordinates import EnergyPath, HeldDensity, HeldHMC

_LEAPFROGS = 5


class DeepEnergy(AnnealedEnergy):
    """p(x) = base(z) exp(-net(z)) |dz/dx| / Z over encoded reals z: the energy is net(z) - log base(z).

    The base, a wide normal, keeps the density proper wherever the network's tails go, and is where temperature paths
    begin.

    The fitted model is the law of the energy, whatever chains it was learned with; short chains that never forgot where
    they began have another, and queries do not use them. Rounded reals stand at their centres, so that the
    probability of a cell is the density there times the cell's width.

    See also: LeCun et al. 2006; Du and Mordatch 2019 (replay); Gutmann and Hyvaerinen 2010 (noise contrast); Nijkamp
    et al. 2019 (what short chains learn).

    Arguments:
        hidden: widths of the network's hidden layers.
        network: `mlp`, or `conv` for variables with two dims (or channels and two dims): convolutions over images.
        channels: of the first convolution; the next has twice as many.
        spread: standard deviation of the normal base, in standard deviations of the data.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("replay", "nce", "pcd", "dsm")

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: tuple[int, ...] = (64, 64),
        network: Literal["mlp", "conv"] = "mlp",
        channels: int = 16,
        spread: float = 2.0,
        chains: int = 256,
        temperatures: int = 100,
    ) -> None:
        super().__init__(schema, hidden=hidden, spread=spread, chains=chains, temperatures=temperatures)
        wrong = [v for v in schema if v.discrete]
        if wrong:
            raise UsageError(
                f"variable {wrong[0].name!r} is {wrong[0].support.kind}: a fitted base takes real, positive and "
                "interval variables; energy with base=normal takes binaries and categories as well"
            )
        self.encoder = Encoder(schema)
        self.base, self.noise = NormalMixture(1, schema.width), NormalMixture(1, schema.width)
        eye = torch.eye(schema.width, dtype=torch.float64)
        self.base.set(torch.ones(1), torch.zeros(1, schema.width), spread**2 * eye[None])
        if channels < 1:
            raise UsageError(f"option channels={channels}: must be at least 1")
        if network == "conv":
            columns = {v: range(schema.width)[schema.slices[v.name]] for v in images(schema)}
            self.net: nn.Module = ConvEncoder(columns, schema.width, hidden, 1, channels)
        else:
            self.net = mlp(schema.width, hidden, 1)

    @torch.no_grad()
    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        self.encoder.fit(self.encoder.inside(batch.values), batch.observed)
        self.incomplete = not bool(batch.observed.all())
        self.near(completed(self.points(batch), batch.observed), seed)
        return []

    def near(self, points: Tensor, seed: int) -> None:
        """Sets what is to be near the data's points `[n, d]`: the noise."""
        self.noise.surround(points)

    # --- an energy

    def points(self, batch: Batch) -> Tensor:
        return self._encoded(batch.values)

    def _encoded(self, values: Tensor) -> Tensor:
        return self.encoder.encode(self.encoder.inside(values.double())).clamp(-1e3, 1e3).float()

    @property
    def added(self) -> Added:
        """What the network adds to the base's energy."""
        if isinstance(self.net, nn.Sequential):
            return Perceptron.of(self.net)
        return Differentiated(lambda points: self.net(points.flatten(0, -2)).reshape(points.shape[:-1]))

    def energy(self, points: Tensor) -> Tensor:
        """Nats, `[..., d] -> [...]`; the base is normalised."""
        return self.added(points) - self.base.log_density(points).to(points.dtype)

    def guesses(self, count: int) -> Tensor:
        return self.noise.draw(count)

    def completing_kernel(self, batch: Batch) -> Kernel:
        return self.chain(batch.observed, self.points(batch), 10**6)

    def chain(self, known: Tensor, value: Tensor, warmup: int) -> Kernel:
        """A kernel on `[..., chains, d]` that leaves the known coordinates, broadcast to them, where they are."""
        target = HeldDensity(self.added, self.base, known, value)
        inner = HMC(target, _LEAPFROGS, warmup, mass="unit", value_and_gradient=target.slope)
        return HeldHMC(inner, known, value)

    def tempered_kernel(self, temperatures: int) -> Kernel:
        """HMC at `temperatures` shares of the network, down to the base alone, where it is quick to move."""
        free = torch.zeros(self.schema.width, dtype=torch.bool, device=self.base.mean.device)
        whole = HeldDensity(self.added, self.base, free, free.float())
        shares = tuple(torch.linspace(1, 0, temperatures).tolist())
        base = HeldDensity(self.added, self.base, free, free.float(), 0.0)
        return ReplicaExchange(whole, lambda density: HMC(density, _LEAPFROGS, mass="unit"), shares, base)

    # --- noise contrast and scores

    def draw_noise(self, count: int) -> Tensor:
        return self.noise.draw(count)

    def log_noise(self, points: Tensor) -> Tensor:
        return self.noise.log_density(points).to(points.dtype)

    def score(self, points: Tensor, noise: Tensor) -> Tensor:
        """Minus the energy's slope. Raises `UsageError` unless one noise is used, since the energy knows of none."""
        if bool((noise != noise[0]).any()):
            raise UsageError("dsm of an energy takes one noise: give least and most the same value, such as 0.1")
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(at).sum(), at, create_graph=True)
        return -slope

    # --- the partition function

    def path(self, known: Tensor, value: Tensor, copies: int) -> EnergyPath:
        return EnergyPath(self.added, self.base, self.base.given(known, value), copies)

    def free_path(self, copies: int) -> EnergyPath:
        nothing = torch.zeros(1, self.schema.width, device=self.base.mean.device)
        return self.path(nothing.bool(), nothing, copies)

    # --- scoring

    def rows(self, points: Tensor) -> np.ndarray:
        return self.encoder.snap(self.encoder.decode(points.double())).cpu().numpy()

    def log_joint(self, values: Tensor) -> Tensor:
        x = self.encoder.inside(values.double())
        z = self.encoder.encode(x).float()
        return -self.energy(z).double() + self.encoder.log_slope(x).sum(-1)

    def path_of(self, queries: QueryBatch, chains: int) -> tuple[EnergyPath, Tensor]:
        """As of `AnnealedEnergy`; evidence other than points is no part of it."""
        known, value, log_slope = self.given(queries)
        path = self.path(known, value, chains)
        return path, path.given.log_density + log_slope

    def given(self, queries: QueryBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Which coordinates are given `[Q, d]`, to what, and log |dz/dx| of them and of their cells' widths, `[Q]`."""
        device = self.base.mean.device
        known = torch.as_tensor(queries.kind == POINT, device=device)
        centre = self.encoder.decode(torch.zeros(self.schema.width, dtype=torch.float64, device=device))
        x = self.encoder.inside(torch.where(known, torch.as_tensor(np.nan_to_num(queries.a), device=device), centre))
        slope = torch.where(known, self.encoder.log_slope(x), 0.0).sum(-1)
        return known, self.encoder.encode(x).float(), slope

    # --- clamped chains

    def unclampable(self, queries: QueryBatch) -> list[str]:
        points = ((queries.kind == POINT) | (queries.kind == 0)).all(1)
        return ["" if p else "the chains of a deep energy are held to values only" for p in points]

    @torch.no_grad()
    def clamp(self, queries: QueryBatch, chains: int) -> EnergyChains:
        self.partition()
        known, value = (x[:, None] for x in self.given(queries)[:2])
        return EnergyChains(
            self,
            queries,
            chains,
            lambda points: torch.where(known, value, points),
            lambda warmup: self.chain(known, value, warmup),
        )
