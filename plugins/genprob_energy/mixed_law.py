"""The law of a mixed energy: reals and labels, each given the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import linear

from genprob.engine.kernels.density import LogDensity, ValueAndGradient, differentiated
from genprob.engine.kernels.gibbs import categorical
from genprob.engine.kernels.single_site import SingleSiteGibbs, enumerated
from genprob_energy.added import Perceptron
from genprob_energy.units import Units


@dataclass(frozen=True, eq=False)
class IndependentBase:
    """The law of units at their heads' offsets: normals of the reals times frequencies of the labels.

    Attributes:
        loc, precision: `[reals]` of the normals.
        natural: `[features]` what features are multiplied by.
        constant: log-normaliser.
    """

    loc: Tensor
    precision: Tensor
    natural: Tensor
    constant: Tensor

    @classmethod
    def of(cls, units: Units) -> IndependentBase:
        drive, stretch = units.heads.offset, units.stretch(torch.float64)
        count = len(units.reals)
        parts = (
            drive[:count],
            units.precision(torch.float64)[:count],
            drive if stretch is None else drive * stretch,
            units.log_normaliser(drive),
        )
        return cls(*(part.float() for part in parts))

    def log_density(self, features: Tensor) -> Tensor:
        """`[..., features] -> [...]` in nats."""
        z = features[..., : len(self.loc)]
        return features @ self.natural - 0.5 * (z.square() @ self.precision) - self.constant


@dataclass(frozen=True, eq=False)
class MixedLaw:
    """The unnormalised log-density of a share of a mixed energy's path, of points `[..., schema.width]`.

    Reals given labels, and labels given reals, go through the network's first layer once: what stands still is added up
    beforehand.

    Arguments:
        added: to the energy, of features.
        units: the columns.
        base: the law that the path begins at.
        share: of the network.
    """

    added: Perceptron
    units: Units
    base: IndependentBase
    share: float = 1.0

    def at(self, share: float) -> MixedLaw:
        """The law at another share."""
        return replace(self, share=share)

    def __call__(self, points: Tensor) -> Tensor:
        features = self.units.features(points)
        return self.base.log_density(features) - self.share * self.added(features)

    def given_labels(self, points: Tensor) -> ValueAndGradient:
        """The log-density with its gradient, of reals `[..., reals]` beside the labels of points."""
        first, bias, rest = self._first
        count, base = len(self.base.loc), self.base
        labels = self.units.features(points)[..., count:]
        weight, natural = first[:, :count], base.natural[:count]
        drive = linear(labels, first[:, count:], bias)
        constant = labels @ base.natural[count:] - base.constant

        def slope(z: Tensor) -> tuple[Tensor, Tensor]:
            value, gradient = rest.slope(drive + linear(z, weight))
            pull = z * base.precision
            own = (z * (natural - 0.5 * pull)).sum(-1)
            return constant + own - self.share * value, natural - pull - self.share * (gradient @ weight)

        return slope

    def redrawn(self, points: Tensor, labels: list[int], told: dict[int, Tensor]) -> Tensor:
        """Points whose labels are drawn one after the other, each given all else and what is told of it.

        Arguments:
            points: `[..., chains, schema.width]`.
            labels: columns, in the order in which they are drawn.
            told: column -> log-likelihood of its levels, `[..., chains, levels]`.
        """
        first, bias, rest = self._first
        new = points.clone()
        drive = linear(self.units.features(points), first, bias)
        for j in labels:
            weight, natural = (self._levels(x, j) for x in (first.mT, self.base.natural))
            without = drive - weight[new[..., j].long()]
            logits = natural - self.share * rest(without[..., None, :] + weight)
            level = categorical(logits + told[j] if j in told else logits)
            new[..., j] = level.to(new.dtype)
            drive = without + weight[level]
        return new

    @property
    def _first(self) -> tuple[Tensor, Tensor | None, Perceptron]:
        """Weight and bias of the first layer, and the layers after it."""
        first, *rest = self.added.layers
        assert first is not None
        return *first, Perceptron(tuple(rest))

    def _levels(self, of_features: Tensor, j: int) -> Tensor:
        """What each level of a label adds, `[levels, ...]`, of numbers `[features, ...]`."""
        place = self.units.places[j]
        part = of_features[place]
        return part if j in self.units.levels else torch.cat([torch.zeros_like(part), part])


@dataclass(frozen=True, eq=False)
class AnyLaw:
    """Any log-density of points `[..., schema.width]`, by autograd and by asking for each level of a label.

    Arguments:
        log_density: in nats up to a constant.
        units: the columns.
    """

    log_density: LogDensity
    units: Units

    def __call__(self, points: Tensor) -> Tensor:
        return self.log_density(points)

    def given_labels(self, points: Tensor) -> ValueAndGradient:
        """As of `MixedLaw`."""

        def whole(z: Tensor) -> Tensor:
            out = points.clone()
            out[..., self.units.reals] = z
            return self.log_density(out)

        return differentiated(whole)

    def redrawn(self, points: Tensor, labels: list[int], told: dict[int, Tensor]) -> Tensor:
        """As of `MixedLaw`."""

        def conditional(position: Tensor, sites: Tensor) -> Tensor:
            j = int(sites[0])
            found = enumerated(self.log_density, self.units.levels.get(j, 2))(position, sites)
            return found + told[j].unsqueeze(-2) if j in told else found

        groups = tuple(torch.tensor([j], device=points.device) for j in labels)
        return SingleSiteGibbs(conditional, groups).step(points, {})[0]
