"""Heads by support: what a decoder's numbers say of each variable, and what a network is shown of a row."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.data.support import Count
from genprob.errors import PluginError, UsageError
from genprob.nets.laws import ContinuousBernoulli, Law, LogisticMixture, Normal

LEAST_SCALE = 1e-3
"""Smallest standard deviation of a real, in standard deviations of the data."""
_FAR = 1e8

Reals = Literal["normal", "logistic", "continuous_bernoulli"]
Scale = Literal["column", "shared", "row"]
Counts = Literal["negative_binomial", "poisson"]


class Heads(nn.Module):
    """The likelihood of every variable as a function of a decoder's output.

    Reals (positives and intervals through the encoder, with its log-Jacobian) have a law around the decoder's number
    in standardised coordinates; on cells the probability is a difference of CDFs. Binaries are Bernoulli, categories
    categorical, counts negative binomial with a learned size per column, or Poisson. An output of zeros stands for
    the marginal laws of the training data.

    Arguments:
        schema: the modelled variables.
        reals: `normal`; `logistic`, a mixture of logistic laws whose parameters are all the decoder's, on cells the
            discretised mixture of Salimans et al. (2017); `continuous_bernoulli` for intervals (Loaiza-Ganem and
            Cunningham 2019), with normals for the other reals.
        scale: standard deviation of a normal: learned per `column`, one `shared` by all, or the decoder's for each
            `row`.
        counts: `negative_binomial` or `poisson`.
        components: of a logistic mixture.

    Attributes:
        width: numbers that the decoder gives per row: the reals' locations, the binaries, the counts, every
            category's levels, then what else the laws of the reals take.
        feature_width: numbers that `features` shows per row.
        reals, binaries, counts: their flat columns.
        levels: flat column of each categorical and its number of levels.
        groups: positions among the reals whose laws are of one family and that are cells, or are none.
        poisson: True where counts are Poisson.
    """

    offset: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        reals: Reals = "normal",
        scale: Scale = "column",
        counts: Counts = "negative_binomial",
        components: int = 5,
    ) -> None:
        super().__init__()
        self.schema, self.family, self.scaling, self.poisson = schema, reals, scale, counts == "poisson"
        self.encoder = Encoder(schema)
        columns = list(enumerate(schema.columns))
        self.reals = self.encoder.columns
        self.binaries = [j for j, v in columns if v.support.kind == "binary"]
        self.counts = [j for j, v in columns if isinstance(v.support, Count)]
        self.levels = {j: v.cardinality or 0 for j, v in columns if v.support.kind == "categorical"}
        if reals == "continuous_bernoulli" and not self.encoder.bounded:
            raise UsageError("continuous_bernoulli needs a variable whose support is an interval; state it in schema=")
        self.tilted = self.encoder.bounded if reals == "continuous_bernoulli" else []
        self.components = components if reals == "logistic" else 1
        self.numbers = 3 * components if reals == "logistic" else 2 if scale == "row" else 1
        plain = len(self.reals) + len(self.binaries) + len(self.counts)
        self._start: dict[int, int] = {j: i for i, j in enumerate([*self.reals, *self.binaries, *self.counts])}
        for j, size in self.levels.items():
            self._start[j] = plain
            plain += size
        self._more = plain
        self.width = plain + (self.numbers - 1) * len(self.reals)
        self.feature_width = plain + schema.width
        own = 0 if self.numbers > 2 else 1 if scale == "shared" else len(self.reals)
        self.log_scale = nn.Parameter(torch.zeros(min(own, len(self.reals)), dtype=torch.float64))
        sized = 0 if self.poisson else len(self.counts)
        self.log_size = nn.Parameter(torch.full((sized,), 2.0, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros(self.width, dtype=torch.float64))
        self.groups = self._alike()

    def _alike(self) -> list[list[int]]:
        """Positions among the reals that share a law's family and are cells, or are none."""
        kinds = [(cell is not None, c in self.tilted) for c, cell in enumerate(self.encoder.cells)]
        return [[c for c, other in enumerate(kinds) if other == kind] for kind in sorted(set(kinds))]

    def fit(self, batch: Batch) -> None:
        """Sets the encoder and the marginal laws from training rows."""
        values, observed = batch.values.double(), batch.observed
        self.encoder.fit(self.encoder.inside(values[:, self.reals]), observed[:, self.reals])
        for c in self.tilted:
            seen, encoder = values[observed[:, self.reals[c]], self.reals[c]], self.encoder
            share = float(((seen - encoder.lower[c]) / (encoder.upper[c] - encoder.lower[c])).mean())
            self.offset[c] = _tilt_of(share)
        if self.components > 1:
            quantiles = torch.special.ndtri((torch.arange(self.components) + 0.5) / self.components)
            reals = len(self.reals)
            self.offset[:reals] = quantiles[0]
            for k in range(1, self.components):
                self.offset[self._more + (k - 1) * reals : self._more + k * reals] = quantiles[k]
            first = self._more + (self.components - 1) * reals
            self.offset[first : first + self.components * reals] = -0.5 - torch.tensor(self.components).log()
        for j in self.binaries:
            seen = values[observed[:, j], j]
            share = (seen.sum() + 0.5) / (len(seen) + 1.0)
            self.offset[self._start[j]] = torch.log(share) - torch.log1p(-share)
        for j in self.counts:
            seen = values[observed[:, j], j]
            self.offset[self._start[j]] = torch.log((seen.sum() + 0.5) / (len(seen) + 0.5))
        for j, size in self.levels.items():
            hits = torch.bincount(values[observed[:, j], j].long(), minlength=size).double()
            self.offset[self._start[j] : self._start[j] + size] = torch.log((hits + 0.5) / (hits + 0.5).sum())

    def taken(self, name: str) -> list[int]:
        """Which of the decoder's numbers a variable takes: plane after plane, each of the event's order."""
        columns = range(*self.schema.slices[name].indices(self.schema.width))
        if columns.start in self.levels:
            levels = range(self.levels[columns.start])
            return [self._start[j] + level for level in levels for j in columns]
        out = [self._start[j] for j in columns]
        if columns.start in self.reals:
            more = len(self.reals)
            out += [self._more + k * more + self._start[j] for k in range(self.numbers - 1) for j in columns]
        return out

    def shown(self, name: str) -> list[int]:
        """Where `features` shows a variable's values: plane after plane, each of the event's order."""
        columns = range(*self.schema.slices[name].indices(self.schema.width))
        levels = range(self.levels.get(columns.start, 1))
        return [self._start[j] + level for level in levels for j in columns]

    def flags(self, name: str) -> list[int]:
        """Where `features` shows which of a variable's cells are known."""
        return list(range(*(self._more + end for end in self.schema.slices[name].indices(self.schema.width)[:2])))

    def scale(self) -> Tensor:
        """Standard deviation of each real column, `[reals]`, in standardised coordinates; of rows, the usual one."""
        return (LEAST_SCALE + self.log_scale.exp()).expand(len(self.reals))

    def law(self, shifted: Tensor, columns: list[int]) -> Law:
        """The law of some reals in encoded coordinates, `[..., columns]`; `columns` among the reals, of one family."""
        if columns and columns[0] in self.tilted:
            encoder = self.encoder
            return ContinuousBernoulli(shifted[..., columns].double(), encoder.loc[columns], encoder.scale[columns])
        if self.numbers == 1:
            return Normal(shifted[..., columns], self.scale()[columns])
        more = shifted[..., self._more :].unflatten(-1, (self.numbers - 1, len(self.reals)))[..., columns]
        if self.numbers == 2:
            usual = self.log_scale[columns]
            return Normal(shifted[..., columns], LEAST_SCALE + (usual + more[..., 0, :].clamp(-12, 12)).exp())
        k = self.components
        loc = torch.cat([shifted[..., None, columns], more[..., : k - 1, :]], -2).movedim(-2, -1)
        log_scale, logits = (part.movedim(-2, -1).double() for part in more[..., k - 1 :, :].split(k, -2))
        return LogisticMixture(logits, loc.double(), LEAST_SCALE + log_scale.clamp(-12, 12).exp())

    def shifted(self, parameters: Tensor) -> Tensor:
        """A decoder's output plus the marginals' own."""
        if parameters.shape[-1] != self.width:
            raise PluginError(f"emit was given {parameters.shape[-1]} numbers a row; emission_width is {self.width}")
        return parameters + self.offset.to(parameters.dtype)

    def locations(self, shifted: Tensor) -> Tensor:
        """Means of the reals in standardised coordinates, `[..., reals]`."""
        return shifted[..., : len(self.reals)]

    def logits(self, shifted: Tensor) -> Tensor:
        """Log-odds of the binaries, `[..., binaries]`."""
        first = len(self.reals)
        return shifted[..., first : first + len(self.binaries)]

    def log_means(self, shifted: Tensor) -> Tensor:
        """Log means of the counts, `[..., counts]`."""
        first = len(self.reals) + len(self.binaries)
        return shifted[..., first : first + len(self.counts)]

    def level_log_probs(self, shifted: Tensor, column: int) -> Tensor:
        """log p(level) of one categorical column, `[..., levels]`."""
        start = self._start[column]
        return torch.log_softmax(shifted[..., start : start + self.levels[column]], -1)

    def log_likelihood(self, parameters: Tensor, batch: Batch) -> Tensor:
        """log p(known cells | parameters), `[..., rows]` in their dtype: the sum over `laws`, at once."""
        shifted, encoder = self.shifted(parameters), self.encoder
        values, observed = batch.values, batch.observed
        out = torch.zeros(shifted.shape[:-1], dtype=torch.float64, device=shifted.device)
        for columns in self.groups:
            flat = [self.reals[c] for c in columns]
            known = observed[:, flat]
            law = self.law(shifted, columns)
            x = torch.where(observed[:, self.reals], values[:, self.reals].double(), self.centre())
            if encoder.cells[columns[0]] is None:
                part = law.log_prob(encoder.encode(x)[:, columns]) + encoder.log_jacobian(x)[:, columns]
            else:
                half = encoder.delta / 2
                lo, hi = (encoder.encode(edge)[:, columns].clamp(-_FAR, _FAR) for edge in (x - half, x + half))
                part = law.log_between(lo, hi)
            out = out + torch.where(known, part, 0.0).sum(-1)
        total = out.to(shifted.dtype)
        if self.binaries:
            at = _together(self.binaries)
            x, known, logits = values[:, at].to(shifted.dtype), observed[:, at], self.logits(shifted)
            weight = None if batch.complete else known.to(logits.dtype).expand(logits.shape)
            x = x.to(logits.dtype).expand(logits.shape)
            total = total - binary_cross_entropy_with_logits(logits, x, weight=weight, reduction="none").sum(-1)
        if self.counts:
            x, known = values[:, self.counts].to(shifted.dtype), observed[:, self.counts]
            law = self.count_law(self.log_means(shifted))
            total = total + torch.where(known, law.log_prob(torch.where(known, x, 0.0)), 0.0).sum(-1)
        for j in self.levels:
            code = values[:, j, None].long().expand(*shifted.shape[:-1], 1)
            mass = self.level_log_probs(shifted, j).gather(-1, code)[..., 0]
            total = total + mass * observed[:, j]
        return total

    def centre(self) -> Tensor:
        """A typical value of each real, data units, `[reals]`."""
        return self.encoder.decode(torch.zeros(len(self.reals), dtype=torch.float64, device=self.offset.device))

    def count_law(self, log_mean: Tensor, at: slice = slice(None), shape: tuple[int, ...] | None = None) -> Any:
        """The law of counts at positions `at` among them, given their log means `[..., counts]`, shaped."""
        if self.poisson:
            return dist.Poisson(log_mean.clamp(-30, 30).exp())
        total = self.log_size[at].exp().to(log_mean.dtype)
        total = total if shape is None else total.reshape(shape)
        return dist.NegativeBinomial(total_count=total, logits=log_mean - total.log())

    def laws(self, parameters: Tensor) -> dict[str, dist.TorchDistribution]:
        """The law of each variable given `parameters [..., width]`; batch shapes `[..., *event]`.

        Log-probabilities have the dtype of the parameters; those of reals are computed in float64.
        """
        shifted = self.shifted(parameters)
        out: dict[str, dist.TorchDistribution] = {}
        for v in self.schema:
            columns = self.schema.slices[v.name]
            if columns.start in self.levels:
                logits = torch.stack([self.level_log_probs(shifted, j) for j in range(columns.start, columns.stop)], -2)
                out[v.name] = dist.Categorical(logits=logits.reshape(*logits.shape[:-2], *v.shape, logits.shape[-1]))
                continue
            start = self._start[columns.start]
            given = shifted[..., start : start + v.size].reshape(*shifted.shape[:-1], *v.shape)
            if v.support.kind == "binary":
                out[v.name] = dist.Bernoulli(logits=given)
            elif isinstance(v.support, Count):
                at = start - len(self.reals) - len(self.binaries)
                out[v.name] = self.count_law(given, slice(at, at + v.size), v.shape)
            else:
                law = self.law(shifted, list(range(start, start + v.size)))
                out[v.name] = Encoded(law, given.shape, self.encoder.part(start, start + v.size), v.shape, given.dtype)
        return out

    def filled(self, batch: Batch, name: str, dtype: torch.dtype) -> Tensor:
        """Values of one variable in which holes hold a typical value, so that no gradient overflows there.

        Reals are float64, since a large offset must not cost digits; the others are of `dtype`.
        """
        columns, x = self.schema.slices[name], batch[name].double()
        if columns.start not in self.reals:
            return x.to(dtype)
        start = self._start[columns.start]
        part = self.encoder.part(start, start + columns.stop - columns.start)
        centre = part.decode(torch.zeros(len(part), dtype=torch.float64, device=x.device)).reshape(x.shape[1:])
        return torch.where(batch.mask(name), x, centre)

    @torch.no_grad()
    def features(self, batch: Batch) -> Tensor:
        """Rows as a network likes them, `[rows, feature_width]` in torch's default dtype, finite.

        Standardised reals, binaries as -1 and 1, log counts around their mean, one column per level; 0 at holes.
        Then one column per flat column that says whether it is known.
        """
        values, observed, dtype = batch.values, batch.observed, torch.get_default_dtype()
        reals = self.encoder.encode(self.encoder.inside(values[:, self.reals].double())).clamp(-1e3, 1e3)
        at = _together(self.binaries)
        parts = [
            torch.where(observed[:, self.reals], reals, 0.0),
            (2 * values[:, at] - 1) * observed[:, at],
            torch.where(
                observed[:, self.counts],
                torch.log1p(values[:, self.counts].double()) - torch.log1p(self.log_means(self.offset).exp()),
                0.0,
            ),
        ]
        for j, size in self.levels.items():
            levels = torch.arange(size, device=values.device)  # torch's one_hot looks at the codes, which no graph can
            hot = values[:, j, None].long().clamp(0, size - 1) == levels
            parts.append(hot & observed[:, j, None])
        return torch.cat([part.to(dtype) for part in (*parts, observed)], 1)


class Encoded(dist.TorchDistribution):
    """A real variable with a law in encoded coordinates: a density in data units, on cells a probability.

    Arguments:
        law: `[..., columns]`, in encoded coordinates.
        batch_shape: `[..., *event]`; the event's dimensions count as batch dimensions here.
        encoder: of the variable's columns.
        event: the event's shape.
        dtype: of log-probabilities.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = False

    def __init__(
        self, law: Law, batch_shape: Any, encoder: Encoder, event: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self.law, self.encoder, self.event, self.dtype = law, encoder, event, dtype
        super().__init__(torch.Size(batch_shape), validate_args=False)

    @property
    def support(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The real line; the encoder keeps draws within the variable's own support."""
        return dist.constraints.real

    def expand(self, batch_shape: Any, _instance: Any = None) -> Encoded:
        return Encoded(self.law, batch_shape, self.encoder, self.event, self.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        kept = value.shape[: value.ndim - len(self.event)]
        x, encoder = value.double().reshape(*kept, -1), self.encoder
        if any(encoder.cells):  # a variable has one measure: all of its columns are cells, or none
            with torch.no_grad():
                lo, hi = (edge.clamp(-_FAR, _FAR) for edge in encoder.edges(x))
            out = self.law.log_between(lo, hi)
        else:
            with torch.no_grad():
                encoded, jacobian = encoder.encode(x), encoder.log_jacobian(x)
            out = self.law.log_prob(encoded) + jacobian
        return out.reshape(*out.shape[:-1], *self.event).to(self.dtype)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        with torch.no_grad():
            x = self.encoder.snap(self.encoder.decode(self.law.draw(tuple(sample_shape)).double()))
            return x.reshape(*x.shape[:-1], *self.event).expand(*sample_shape, *self.batch_shape)


def _together(columns: list[int]) -> Any:
    """The columns as a slice where they are in a row: an index of hundreds costs more than the arithmetic."""
    first = columns[0] if columns else 0
    return slice(first, first + len(columns)) if columns == list(range(first, first + len(columns))) else columns


def _tilt_of(share: float) -> float:
    """The tilt of a continuous Bernoulli with this mean, by bisection."""
    lo, hi = -500.0, 500.0
    for _ in range(60):
        tilt = (lo + hi) / 2
        mean = 0.5 + tilt / 12 if abs(tilt) < 1e-3 else 1 / (1 - math.exp(-tilt)) - 1 / tilt if tilt > -500 else 0.0
        lo, hi = (tilt, hi) if mean < share else (lo, tilt)
    return (lo + hi) / 2
