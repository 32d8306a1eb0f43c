"""A variational autoencoder with a label that some rows lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from genprob.data.batch import Batch
from genprob.data.schema import Schema, Variable
from genprob.errors import UsageError
from genprob.nets.heads import Counts, Reals, Scale
from genprob.nets.mlp import mlp
from genprob_variational.vae import VAE

_CERTAIN = 30.0
"""Log-odds by which a class that is given beats the others."""


class SSVAE(VAE):
    """A class y and a code z, independent, decoded into all other variables: M2 of Kingma et al. (2014).

    The label is a variable of the schema; rows that lack it are learned from as well, with their class summed out.
    The guide is q(y | known cells) q(z | known cells, y), and where the label is known, y is it.

    Arguments:
        label: name of the label, a categorical or binary; None takes the only one, or the last of several.
        alpha: weight of -log q(label | row) for the labelled rows, beside the bound.
        latent: size of the code.
        hidden: sizes of the hidden layers of the encoder and the classifier; the decoder has them in reverse.
        reals: law of reals: normal, a mixture of logistic laws, or for intervals the continuous Bernoulli.
        scale: standard deviation of normals: learned per column, one shared by all, or the decoder's for each row.
        counts: law of counts.
        particles: draws of the guide that a row's log-probability is estimated from.
    """

    inferences: ClassVar[tuple[str, ...]] = ("elbo",)
    labelled: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        label: str | None = None,
        alpha: float = 1.0,
        latent: int = 8,
        hidden: Sequence[int] = (128, 128),
        reals: Reals = "normal",
        scale: Scale = "column",
        counts: Counts = "negative_binomial",
        particles: int = 256,
    ) -> None:
        super().__init__(
            schema, latent=latent, hidden=hidden, reals=reals, scale=scale, counts=counts, particles=particles
        )
        if alpha < 0:
            raise UsageError(f"option alpha={alpha}: must not be negative")
        self.label = _label(schema, label)
        self.alpha, self.classes = alpha, self.label.cardinality or 2
        self.class_site = next(name for name in ("y", "class", "y_") if name not in schema and name != self.site)
        heads = self.heads
        assert heads is not None
        self.encoder = mlp(heads.feature_width + self.classes, hidden, 2 * latent)
        self.decoder = mlp(latent + self.classes, tuple(hidden)[::-1], heads.width)
        self.classifier = mlp(heads.feature_width, hidden, self.classes)
        self.class_logits = nn.Parameter(torch.zeros(self.classes))
        self.register_buffer("labelled", torch.ones(()))

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        notes = super().prepare(batch, seed=seed)
        seen, label = batch.mask(self.label.name), batch[self.label.name]
        counts = torch.bincount(label[seen].long(), minlength=self.classes)
        with torch.no_grad():
            self.class_logits.copy_(((counts + 0.5) / (counts + 0.5).sum()).log())
            self.labelled.fill_(max(float(seen.double().mean()), 1 / max(len(batch), 1)))
        none = [str(level) for level, count in zip(_levels(self.label), counts.tolist(), strict=True) if not count]
        return notes + ([f"label {self.label.name!r}: no row is labelled {', '.join(none)}"] if none else [])

    def model(self, batch: Batch) -> None:
        """p(y) p(z), and every other variable given both."""
        with batch.plate():
            y = pyro.sample(self.class_site, dist.Categorical(logits=self.class_logits))
            z = pyro.sample(self.site, self._prior())
            given = self._hot(y)
            shape = torch.broadcast_shapes(z.shape[:-1], given.shape[:-1])
            code = torch.cat([z.expand(*shape, -1), given.expand(*shape, -1)], -1)
            self.emit(self._told(self.decoder(code), given.expand(*shape, -1)), batch)

    def guide(self, batch: Batch) -> None:
        """q(y | known cells), then q(z | known cells, y)."""
        shown = self._unlabelled(self.features(batch.distinct))
        logits = self._known(self.classifier(shown), batch.distinct).repeat_interleave(batch.copies, 0)
        with batch.plate():
            y = pyro.sample(self.class_site, dist.Categorical(logits=logits), infer={"enumerate": "parallel"})
            loc, scale = self._code(shown.repeat_interleave(batch.copies, 0), self._hot(y))
            pyro.sample(self.site, dist.Normal(loc, scale).to_event(1))

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and standard deviations of q(z | known cells, y) at the likeliest class, `[rows, latent]`."""
        return self._code(self._unlabelled(self.features(batch)), self._likeliest(batch))

    def outputs(self, batch: Batch) -> Tensor:
        """What `emit` takes at the guide's likeliest class and its mean code of each row."""
        given = self._likeliest(batch)
        return self._told(self.decoder(torch.cat([self.posterior(batch)[0], given], -1)), given)

    def classes_of(self, batch: Batch) -> Tensor:
        """q(y | known cells), `[rows, classes]`: the guide's classifier, which queries correct and this does not."""
        shown = self._unlabelled(self.features(batch))
        return torch.softmax(self._known(self.classifier(shown), batch), -1)

    def decoded(self, codes: Tensor) -> Tensor:
        """What `emit` takes at `codes [..., latent]`, at a class drawn for each."""
        given = self._hot(dist.Categorical(logits=self.class_logits).sample(codes.shape[:-1]))
        return self._told(self.decoder(torch.cat([codes, given], -1)), given)

    def auxiliary(self, batch: Batch) -> Tensor:
        """-alpha log q(label | row) of labelled rows, `[rows]`, such that its mean is one over labelled rows."""
        logits = torch.log_softmax(self.classifier(self._unlabelled(self.features(batch))), -1)
        told = logits.gather(-1, batch[self.label.name].long()[:, None])[:, 0]
        return -self.alpha * told * batch.mask(self.label.name) / self.labelled

    # --- inside

    def _prior(self) -> Any:
        return cast(Any, self.prior).law()

    def _hot(self, y: Tensor) -> Tensor:
        return nn.functional.one_hot(y.long(), self.classes).to(self.class_logits.dtype)

    def _likeliest(self, batch: Batch) -> Tensor:
        return self._hot(self._known(self.classifier(self._unlabelled(self.features(batch))), batch).argmax(-1))

    def _code(self, shown: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.broadcast_shapes(shown.shape[:-1], given.shape[:-1])
        return self.encode(torch.cat([shown.expand(*shape, -1), given.expand(*shape, -1)], -1))

    def _unlabelled(self, features: Tensor) -> Tensor:
        """Features in which the label can't be seen."""
        heads = self.heads
        assert heads is not None
        hidden = torch.ones(features.shape[-1], dtype=features.dtype, device=features.device)
        hidden[[*heads.shown(self.label.name), *heads.flags(self.label.name)]] = 0
        return features * hidden

    def _known(self, logits: Tensor, batch: Batch) -> Tensor:
        """Logits of the class, certain where the label is known."""
        certain = _CERTAIN * self._hot(batch[self.label.name])
        return torch.where(batch.mask(self.label.name)[:, None], certain, logits)

    def _told(self, parameters: Tensor, given: Tensor) -> Tensor:
        """What `emit` takes, the label's law certain of the class."""
        heads = self.heads
        assert heads is not None
        columns = heads.taken(self.label.name)
        sure = _CERTAIN * given if len(columns) > 1 else _CERTAIN * (2 * given[..., 1:] - 1)
        out = parameters.clone()
        out[..., columns] = sure - heads.offset[columns].to(parameters.dtype)
        return out


def _label(schema: Schema, name: str | None) -> Variable:
    """The variable that is the label."""
    fit = [v for v in schema if v.cardinality and not v.shape]
    if name is not None:
        if schema[name] not in fit:
            raise UsageError(f"label {name!r} is {schema[name].support.kind}: it must be a scalar category or binary")
        return schema[name]
    if not fit:
        raise UsageError("ssvae needs a label, a scalar category or binary, and the data have none; use vae")
    return ([v for v in fit if v.support.kind == "categorical"] or fit)[-1]


def _levels(variable: Variable) -> tuple[Any, ...]:
    return tuple(getattr(variable.support, "levels", ())) or (0, 1)
