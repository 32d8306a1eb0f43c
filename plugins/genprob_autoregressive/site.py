"""A site of the any-order network as a Pyro program: one variable given what is known of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor

if TYPE_CHECKING:
    from genprob_autoregressive.anyorder import ResidualAnyOrder


class Site(dist.TorchDistribution):
    """One variable given what of the others is known, its own columns one after the other.

    Log-probabilities are those of the columns where `observed`; batch shape `[rows]`.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, network: ResidualAnyOrder, values: Tensor, known: Tensor, columns: slice, shape: tuple[int, ...],
        observed: Tensor,
    ) -> None:  # fmt: skip
        self.network, self.values, self.known, self.columns, self.observed = network, values, known, columns, observed
        super().__init__(values.shape[:1], torch.Size(shape), validate_args=False)

    @property
    def support(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        """The real line; laws keep draws within the variable's own support."""
        return dist.constraints.real

    def expand(self, batch_shape: Any, _instance: Any = None) -> Site:
        if torch.Size(batch_shape) != self.batch_shape:
            raise NotImplementedError("the rows of a batch are what they are")
        return self

    def log_prob(self, value: Tensor) -> Tensor:
        values, known = self.values.clone(), self.known.clone()
        values[:, self.columns] = value.reshape(len(values), -1)
        out = torch.zeros(len(values), dtype=torch.float32, device=values.device)
        for position, j in enumerate(range(*self.columns.indices(values.shape[1]))):
            seen = self.observed[:, position]
            out = out + torch.where(seen, self.network.log_cells(values, known)[:, j], 0.0)
            known[:, j] = seen
        return out

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        if torch.Size(sample_shape):
            raise NotImplementedError("one draw of each row at a time")
        values, known = self.values.clone(), self.known.clone()
        for j in range(*self.columns.indices(values.shape[1])):
            values[:, j] = self.network.contexts(values, known).law(j).draw()
            known[:, j] = True
        return values[:, self.columns].reshape(len(values), *self.event_shape)
