"""Heads by support: what a decoder's numbers say of each variable, and what a network is shown of a row."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.data.support import Count
from genprob.errors import PluginError
from genprob.nets.normal import log_between

LEAST_SCALE = 1e-3
"""Smallest standard deviation of a real, in standard deviations of the data."""
_LOG_ROOT_TWO_PI = 0.9189385332046727
_FAR = 1e8


class Heads(nn.Module):
    """The likelihood of every variable as a function of a decoder's output.

    Reals (positives and intervals through the encoder, with its log-Jacobian) are normal around the decoder's number
    in standardised coordinates, with a learned scale per column; on cells the probability is a difference of CDFs.
    Binaries are Bernoulli, categories categorical, counts negative binomial with a learned size per column. An
    output of zeros stands for the marginal laws of the training data.

    Attributes:
        width: numbers that the decoder gives per row: the reals, the binaries, the counts, then every category's
            levels.
        feature_width: numbers that `features` shows per row.
        reals, binaries, counts: their flat columns.
        levels: flat column of each categorical and its number of levels.
    """

    offset: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        self.encoder = Encoder(schema)
        columns = list(enumerate(schema.columns))
        self.reals = self.encoder.columns
        self.binaries = [j for j, v in columns if v.support.kind == "binary"]
        self.counts = [j for j, v in columns if isinstance(v.support, Count)]
        self.levels = {j: v.cardinality or 0 for j, v in columns if v.support.kind == "categorical"}
        plain = len(self.reals) + len(self.binaries) + len(self.counts)
        self.width = plain + sum(self.levels.values())
        self.feature_width = self.width + schema.width
        self._start: dict[int, int] = {j: i for i, j in enumerate([*self.reals, *self.binaries, *self.counts])}
        for j, size in self.levels.items():
            self._start[j] = plain
            plain += size
        self.log_scale = nn.Parameter(torch.zeros(len(self.reals), dtype=torch.float64))
        self.log_size = nn.Parameter(torch.full((len(self.counts),), 2.0, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros(self.width, dtype=torch.float64))

    def fit(self, batch: Batch) -> None:
        """Sets the encoder and the marginal laws from training rows."""
        values, observed = batch.values.double(), batch.observed
        self.encoder.fit(self.encoder.inside(values[:, self.reals]), observed[:, self.reals])
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

    def scale(self) -> Tensor:
        """Standard deviation of each real column, `[reals]`, in standardised coordinates."""
        return LEAST_SCALE + self.log_scale.exp()

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

    def laws(self, parameters: Tensor) -> dict[str, dist.TorchDistribution]:
        """The law of each variable given `parameters [..., width]`; batch shapes `[..., *event]`.

        Log-probabilities have the dtype of the parameters; those of reals are computed in float64.
        """
        shifted = self.shifted(parameters)
        scale, size = self.scale(), self.log_size.exp().to(parameters.dtype)
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
                total = size[at : at + v.size].reshape(v.shape)
                out[v.name] = dist.NegativeBinomial(total_count=total, logits=given - total.log())
            else:
                spread = scale[start : start + v.size].reshape(v.shape)
                out[v.name] = Encoded(given, spread, self.encoder.part(start, start + v.size), len(v.shape))
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
        values, observed = batch.values.double(), batch.observed
        reals = self.encoder.encode(self.encoder.inside(values[:, self.reals])).clamp(-1e3, 1e3)
        parts = [
            torch.where(observed[:, self.reals], reals, 0.0),
            torch.where(observed[:, self.binaries], 2 * values[:, self.binaries] - 1, 0.0),
            torch.where(
                observed[:, self.counts],
                torch.log1p(values[:, self.counts]) - torch.log1p(self.log_means(self.offset).exp()),
                0.0,
            ),
        ]
        for j, size in self.levels.items():
            hot = nn.functional.one_hot(values[:, j].long().clamp(0, size - 1), size).double()
            parts.append(hot * observed[:, j, None])
        return torch.cat([*parts, observed.double()], 1).to(torch.get_default_dtype())


class Encoded(dist.TorchDistribution):
    """A real variable that is normal in encoded coordinates: a density in data units, on cells a probability.

    Arguments:
        loc: `[..., *event]` encoded coordinates.
        scale: `[*event]`.
        encoder: of the variable's columns.
        event_dims: number of the event's dimensions, which count as batch dimensions here.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = False

    def __init__(self, loc: Tensor, scale: Tensor, encoder: Encoder, event_dims: int) -> None:
        self.loc, self.scale, self.encoder, self.event_dims = loc, scale, encoder, event_dims
        super().__init__(torch.broadcast_shapes(loc.shape, scale.shape), validate_args=False)

    @property
    def support(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The real line; the encoder keeps draws within the variable's own support."""
        return dist.constraints.real

    def expand(self, batch_shape: Any, _instance: Any = None) -> Encoded:
        loc = self.loc.expand(torch.Size(batch_shape))
        return Encoded(loc, self.scale, self.encoder, self.event_dims)

    def log_prob(self, value: Tensor) -> Tensor:
        kept = value.shape[: value.ndim - self.event_dims]
        x = value.double().reshape(*kept, -1)
        encoder = self.encoder

        def shaped(flat: Tensor) -> Tensor:
            return flat.reshape(value.shape)

        if any(encoder.cells):  # a variable has one measure: all of its columns are cells, or none
            with torch.no_grad():
                lo, hi = (shaped(edge).clamp(-_FAR, _FAR) for edge in encoder.edges(x))
            mass = log_between((lo - self.loc) / self.scale, (hi - self.loc) / self.scale)
            return mass.to(self.loc.dtype)
        with torch.no_grad():
            encoded, jacobian = shaped(encoder.encode(x)), shaped(encoder.log_jacobian(x))
        z = (encoded - self.loc) / self.scale
        return (-0.5 * z**2 - torch.log(self.scale) - _LOG_ROOT_TWO_PI + jacobian).to(self.loc.dtype)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            z = self.loc + self.scale * torch.randn(shape, dtype=torch.float64, device=self.loc.device)
            flat = z.reshape(*shape[: len(shape) - self.event_dims], -1)
            return self.encoder.snap(self.encoder.decode(flat)).reshape(shape)
