"""The flow: an invertible network from the data's coordinates to independent normal ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from zuko.flows import MAF, NSF

from genprob.data.batch import Batch
from genprob.data.encoders import Encoder
from genprob.data.schema import Schema
from genprob.data.statement import advice
from genprob.errors import UsageError
from genprob.model import Model
from genprob.query.batch import POINT, QueryBatch
from genprob.query.diagnostics import log_mean_error
from genprob.query.log_evidence import LogEvidence
from genprob_flow.boxes import Boxes
from genprob_flow.guide import Guide
from genprob_flow.particles import RowCloud

_SCORED = 256
"""Particles by which a row with holes or rounding cells is scored."""
_PIECE = 16_384
_FEW_ROWS = 4000
"""Rows that go through the network at once."""
_SHIFTS = 8
"""Places within a rounding cell over which its density is averaged."""
_FAR = 1e6
_LEARNED = 10_000
"""Draws of the flow from which its proposals are learned."""
_OUTLIER = 50.0
"""Coordinates beyond which a draw is left out there."""


class Flow(Model):
    """A normalising flow over the encoded coordinates of reals, positives, intervals and rounded reals.

    Rounded reals are dequantised: training scores a uniform place within the cell, whose mean is a lower bound on the
    log-probability of the cell (Theis, van den Oord and Bethge 2016), and queries integrate over the cell. Rows with
    holes are summed out by completions from the guide, a Gaussian mixture of the training rows, weighted by the flow;
    the weighted mean of their gradients is the gradient of log p(known cells). A flow conditions on nothing in closed
    form: queries are answered by the proposals, weighted, of a guide that is fitted anew to draws of the flow itself,
    since importance asks for what the flow says and not for what it was told; and by annealing.

    See also: Papamakarios, Pavlakou and Murray 2017, Masked autoregressive flow for density estimation; Durkan,
    Bekasov, Murray and Papamakarios 2019, Neural spline flows.

    Arguments:
        transform: `spline` (monotonic rational-quadratic), `affine`, or `coupling` (splines, half the columns at once).
        layers: number of transformations.
        hidden: widths of the hidden layers of each.
        knots: bins of a spline.
        encoding: `yeo-johnson` straightens skewness before the flow, `support` does not.
        components: Gaussians of the guide.
        completions: by which a row with holes is summed out in training.
    """

    inferences = ("ml",)
    precision = torch.float64
    log_partition = 0.0
    log_partition_se = 0.0
    direct = True

    def __init__(
        self,
        schema: Schema,
        *,
        transform: Literal["spline", "affine", "coupling"] = "spline",
        layers: int = 3,
        hidden: Sequence[int] = (64, 64),
        knots: int = 8,
        encoding: Literal["yeo-johnson", "support"] = "yeo-johnson",
        components: int = 16,
        completions: int = 8,
    ) -> None:
        super().__init__(schema)
        for variable in schema:
            if variable.discrete:
                instead = f"{advice(variable.name, 'real')}, " if variable.is_count else ""
                raise UsageError(
                    f"variable {variable.name!r} is {variable.support.kind}: a flow is a density of reals; use model "
                    f"mixture, anyorder or made, {instead}or give it role 'ignored'"
                )
        if min(layers, knots - 1, components, completions, *hidden) < 1:
            raise UsageError("layers, hidden, components and completions must be at least 1, knots at least 2")
        width = schema.width
        self.completions, self.most_components = completions, components
        self.encoder = Encoder(schema, transform=encoding)
        options: dict[str, Any] = {"transforms": layers, "hidden_features": tuple(hidden), "randperm": width > 2}
        if transform == "affine":
            self.net = MAF(width, **options)
        else:
            halves = transform == "coupling" and width > 1
            self.net = NSF(width, bins=knots, passes=2 if halves else None, **options)
        self.guide_law = Guide(width, components)
        self.rows = 0
        self._learned: tuple[int, Guide] | None = None
        self.cells = [c for c, cell in enumerate(self.encoder.cells) if cell is not None]

    # --- structure and start

    @property
    def recipe(self) -> dict[str, dict[str, Any]]:
        """What suits the model best, by inference: 60 epochs, within bounds."""
        batch_size = 128 if self.rows < _FEW_ROWS else 512
        steps = min(max(60 * -(-self.rows // batch_size), 500), 4000)
        return {"ml": {"steps": steps, "lr": 3e-3, "batch_size": batch_size, "clip": 5.0, "ema": 0.99}}

    def structure(self) -> dict[str, Any]:
        return {"components": len(self.guide_law.log_share) - 1, "rows": self.rows}

    def build(self, structure: dict[str, Any]) -> None:
        self.rows = int(structure["rows"])
        self.guide_law = Guide(self.schema.width, int(structure["components"])).to(self.encoder.loc.device)

    def prepare(self, batch: Batch, *, seed: int) -> list[str]:
        """Fits the encoder and the guide; columns of holes are filled from their own values for the guide."""
        observed = batch.observed
        self.encoder.fit(self.encoder.inside(batch.values), observed)
        z = torch.where(observed, self._middle(batch.values), torch.nan).cpu().numpy()
        whole = np.asarray(~np.isnan(z).any(1))
        notes = []
        if whole.sum() < max(20, 10 * z.shape[1]):
            rng = np.random.default_rng(seed)
            for column in z.T:
                hole = np.isnan(column)
                column[hole] = rng.choice(column[~hole], hole.sum()) if (~hole).any() else 0.0
            whole = np.asarray(np.ones(len(z), dtype=bool))
        components = min(self.most_components, max(1, int(whole.sum()) // (5 * z.shape[1])))
        self.build({"components": components, "rows": len(batch)})
        self.guide_law.fit(z[whole] + 1e-3 * np.random.default_rng(seed).normal(size=z[whole].shape), seed)
        holes = float((~observed).any(1).double().mean())
        if holes:
            notes.append(
                f"{100 * holes:.0f} % of the rows have holes, summed out by {self.completions} completions each"
            )
        return notes

    def _middle(self, values: Tensor) -> Tensor:
        """Coordinates `[rows, width]` of values, cells at their centres."""
        return self.encoder.encode(self.encoder.inside(values)).clamp(-_FAR, _FAR)

    # --- densities

    def log_flow(self, z: Tensor) -> Tensor:
        """log density of coordinates `[n, width]`, `[n]` float64, differentiable."""
        return self.net().log_prob(z.float()).double()

    def _log_flow(self, z: Tensor) -> Tensor:
        """The same of `[..., width]`, piece by piece."""
        flat = z.reshape(-1, z.shape[-1])
        return torch.cat([self.log_flow(part) for part in flat.split(_PIECE)]).reshape(z.shape[:-1])

    def log_density(self, batch: Batch) -> Tensor:
        values, known = batch.values.double(), batch.observed
        whole = known.all(1)
        if whole.all():
            return self._spread(values)
        out = torch.zeros(len(values), dtype=torch.float64, device=values.device)
        if whole.any():
            out[whole] = self._spread(values[whole])
        out[~whole] = self._summed_out(values[~whole], known[~whole])
        return out

    def _spread(self, values: Tensor) -> Tensor:
        """log density at a uniform place within each rounding cell, times the cell's width; `[rows]`."""
        x, log_width = self.encoder.inside(values), 0.0
        if self.cells:
            x = x.clone()
            low, high = self._cut(values)
            x[:, self.cells] = low + torch.rand_like(low) * (high - low)
            log_width = torch.log(high - low).sum(1)
        z = self.encoder.encode(x).clamp(-_FAR, _FAR)
        return self.log_flow(z) + self.encoder.log_jacobian(x).sum(1) + log_width

    def _cut(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Ends `[..., cells]` of each value's rounding cell, within the support and data units."""
        ends = []
        for c in self.cells:
            cell = self.encoder.cells[c]
            assert cell is not None
            below, above = cell.edges(values[..., c].detach().cpu().numpy())
            lo, hi = -np.inf, np.inf
            if c in self.encoder.positive:
                lo = 0.0
            elif c in self.encoder.bounded:
                lo, hi = float(self.encoder.lower[c]), float(self.encoder.upper[c])
            gap = 1e-6 * cell.delta
            ends.append((np.maximum(below, lo + gap), np.minimum(above, hi - gap)))
        low, high = (torch.as_tensor(np.stack(end, -1), device=values.device) for end in zip(*ends, strict=True))
        return low, high

    def _summed_out(self, values: Tensor, known: Tensor) -> Tensor:
        """log p(known cells) by weighted completions; its gradient is that of Fisher's identity."""
        rows = np.where(known.cpu().numpy(), values.cpu().numpy(), np.nan)
        with torch.no_grad():
            boxes = Boxes.of(self.encoder, QueryBatch.from_values(self.schema, rows), values.device)
            z, minus_log_q = self.guide_law.propose(boxes, self.completions)
        log_p = self.log_flow(z.reshape(-1, z.shape[-1])).reshape(z.shape[:-1])
        weight = log_p.detach() + minus_log_q
        share = torch.softmax(weight, 1)
        value = torch.logsumexp(weight, 1) - math.log(self.completions) + boxes.log_scale
        return value + (share * (log_p - log_p.detach())).sum(1)

    def log_joint(self, values: Tensor) -> Tensor:
        """log p of complete rows `[..., width]` in data units, `[...]`; a rounding cell by its density at 8 places."""
        if not self.cells:
            z = self.encoder.encode(values).clamp(-_FAR, _FAR)
            return self._log_flow(z) + self.encoder.log_jacobian(values).sum(-1)
        low, high = self._cut(values)
        # The places of a lattice with irrational steps: evenly spread in every column and pair of columns.
        step = torch.sqrt(torch.tensor(_PRIMES[: len(self.cells)], dtype=torch.float64, device=values.device))
        parts = []
        for i in range(_SHIFTS):
            x = values.clone()
            x[..., self.cells] = low + torch.frac((i + 0.5) * step) * (high - low)
            z = self.encoder.encode(x).clamp(-_FAR, _FAR)
            parts.append(self._log_flow(z) + self.encoder.log_jacobian(x).sum(-1))
        return torch.logsumexp(torch.stack(parts), 0) - math.log(_SHIFTS) + torch.log(high - low).sum(-1)

    @torch.no_grad()
    def score_rows(self, batch: Batch) -> Tensor:
        """log p of complete rows, cells at their centres; of rows with holes the guide's, in data units."""
        known, z = batch.observed, self._middle(batch.values.double())
        x = self.encoder.inside(batch.values.double())
        scale = torch.where(known, self.encoder.log_slope(x), 0.0).sum(1)
        whole = known.all(1)
        out = torch.zeros_like(scale)
        if whole.any():
            out[whole] = self._log_flow(z[whole])
        if not whole.all():
            out[~whole] = self.guide_law.log_density(torch.where(known, z, 0.0)[~whole], known[~whole])
        return out + scale

    @torch.no_grad()
    def score_masks(self, batch: Batch, masks: Tensor) -> Tensor:
        return torch.stack([self.score_rows(replace(batch, observed=batch.observed & mask)) for mask in masks])

    # --- queries

    @torch.no_grad()
    def log_evidence(self, queries: QueryBatch) -> LogEvidence:
        """Exact for complete rows of true reals, else by the guide's weighted proposals."""
        value, error = np.zeros(len(queries)), np.zeros(len(queries))
        whole = (queries.kind == POINT).all(1) & (not self.cells)
        if whole.any():
            value[whole] = (
                self.log_joint(torch.as_tensor(queries.a[whole], device=self.encoder.loc.device)).cpu().numpy()
            )
        rest = np.flatnonzero(~whole & (queries.kind != 0).any(1))
        step = max(1, _PIECE // _SCORED)
        for part in np.split(rest, range(step, len(rest), step)):
            if len(part):
                weight = self.propose(queries.take(part), _SCORED).log_weight.cpu().numpy()
                value[part], error[part] = np.logaddexp.reduce(weight, axis=1), log_mean_error(weight)
        return LogEvidence(value, error, "estimate" if len(rest) else "exact")

    @torch.no_grad()
    def propose(self, queries: QueryBatch, particles: int) -> RowCloud:
        boxes = Boxes.of(self.encoder, queries, self.encoder.loc.device)
        z, minus_log_q = self._proposals().propose(boxes, particles)
        x = self.encoder.snap(self.encoder.decode(z))
        weight = self._log_flow(z) + minus_log_q + boxes.log_scale[:, None] + boxes.log_readings(x)
        weight = torch.where(torch.isfinite(weight), weight, -torch.inf)
        return RowCloud(queries, x.cpu().numpy(), weight - math.log(particles))

    def _proposals(self) -> Guide:
        """The guide of the flow as it stands, fitted to its draws once; no random number of the caller's is taken."""
        stand = sum(parameter._version for parameter in self.parameters())
        if self._learned is None or self._learned[0] != stand:
            device = self.encoder.loc.device
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(0)
                z = self._drawn(_LEARNED).cpu().numpy()
            guide = self.guide_law
            z = z[(np.abs(z) < _OUTLIER).all(1)]
            if len(z) >= 5 * z.shape[1] * self.most_components:
                guide = Guide(self.schema.width, self.most_components).to(device)
                guide.fit(z, 0)
            self._learned = stand, guide
        return self._learned[1]

    def _drawn(self, draws: int) -> Tensor:
        """Coordinates `[draws, width]` from the flow."""
        parts = torch.arange(draws).split(_PIECE)
        return torch.cat([self.net().sample((len(part),)) for part in parts]).double()

    @torch.no_grad()
    def draw(self, draws: int) -> np.ndarray:
        return self.encoder.snap(self.encoder.decode(self._drawn(draws))).cpu().numpy()


_PRIMES = [p for p in range(2, 8000) if all(p % q for q in range(2, math.isqrt(p) + 1))]
