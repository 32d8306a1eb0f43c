"""The restricted Boltzmann machine: binary hidden units over binaries, categories and reals."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from genprob.data.schema import Schema
from genprob.engine.transition import Kernel
from genprob.metrics.partition import Partition
from genprob.query.batch import QueryBatch
from genprob.query.emission import EmissionCloud
from genprob_energy import marginal
from genprob_energy.free_energy import FreeEnergy
from genprob_energy.layers import MOST_ENUMERATED, Layers
from genprob_energy.lifted import Lifted
from genprob_energy.machine import Machine
from genprob_energy.units import binary_states, visible_states

MOST_SUMMED = 10
"""Hidden units up to which queries are answered by listing all hidden states."""


class RBM(Layers):
    """A restricted Boltzmann machine: p(x) = sum_h exp(-E(x, h)) / Z, units independent given the other layer.

    Binaries are Bernoulli units, categories softmax units, reals normal units with a learned variance each (in
    encoded coordinates; cells by the probability of the cell). -E = log_base(x) + natural(visible + (h - l) W') .
    (f(x) - m) + (h - l) . hidden, with offsets m (the data's means) and l (the hidden units', followed while
    learning): centring keeps the gradient from mixing with the biases'. Holes and cells are Gibbs-sampled in the
    positive phase, a chain per row.

    log p(x) rests on the partition function: summed where one side has at most 20 binary units, otherwise estimated
    after the fit by annealing from independent units, by melting back, and by the bridge of both.

    See also: Smolensky 1986; Hinton 2002; Cho, Ilin and Raiko 2011 and Melchior, Wang and Wiskott 2017 (Gaussian
    units); Montavon and Mueller 2012 and Melchior, Fischer and Wiskott 2016 (centring); Salakhutdinov and Murray 2008
    (partition functions).

    Arguments:
        hidden: number of hidden units.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("pcd", "cd")

    def __init__(self, schema: Schema, *, hidden: int = 64, chains: int = 256, temperatures: int = 500) -> None:
        super().__init__(schema, hidden=hidden, chains=chains, temperatures=temperatures)

    def machine(self) -> Machine:
        stretch = self.units.stretch(self.weight.dtype)
        offset = self.offset if stretch is None else self.offset * stretch
        return Machine(
            self.units,
            self.weight,
            self.visible - self.weight @ self.centre,
            self.hidden - offset @ self.weight,
            self.base,
        )

    def energy(self, points: Tensor) -> Tensor:
        if not self.lifts:
            return super().energy(points)
        away = self.units.features(points) - self.offset
        free = FreeEnergy.apply(away, None, self.weight, self.visible, self.hidden, self.centre)
        return torch.as_tensor(free) - self.offset @ (self.visible - self.weight @ self.centre)

    # --- chains that carry their logits

    @property
    def lifts(self) -> bool:
        """Whether the slope is written out for these columns."""
        return not self.units.reals

    @torch.no_grad()
    def lift(self, points: Tensor) -> Tensor:
        """What couplings act on and the hidden units' logits, `[n, schema.width] -> [n, features + hidden]`."""
        return self._couplings().lift(points)

    def lifted_kernel(self) -> Kernel:
        return self._couplings()

    def lifted_energy(self, lifted: Tensor) -> Tensor:
        return self._couplings().energy(lifted)

    def _couplings(self) -> Lifted:
        # Past Pyro's look-up of attributes, which three times a step takes as long as a pass over the weights.
        of, kept = self._parameters, self._buffers
        named = (of["weight"], of["visible"], of["hidden"], kept["offset"], kept["centre"])
        return Lifted(self.units, *(tensor for tensor in named if tensor is not None))

    @property
    def few(self) -> bool:
        """Whether hidden states can be listed for every query."""
        return len(self.hidden) <= MOST_SUMMED

    def summed(self) -> Partition | None:
        """The partition function by enumeration of the smaller side, None where both are large."""
        states, hidden = visible_states(self.schema), len(self.hidden)
        if hidden <= MOST_ENUMERATED and (states is None or 2**hidden <= states):
            return Partition.exact(self.machine().log_partition_by_hidden())
        return super().summed()

    def exact_draws(self, draws: int) -> Tensor | None:
        if not self.few:
            return super().exact_draws(draws)
        machine = self.machine()
        states = binary_states(len(self.hidden), self.precision, self.weight.device)
        share = torch.softmax(machine.log_hidden(states).double(), 0)
        return self.units.draw(machine.down(states[torch.multinomial(share, draws, replacement=True)]))

    def summed_evidence(self, queries: QueryBatch) -> np.ndarray | None:
        if not self.few:
            return super().summed_evidence(queries)
        return torch.logsumexp(marginal.listed(self, queries).log_weight, 1).cpu().numpy()

    def inexact(self, queries: QueryBatch) -> list[str]:
        why = "" if self.few else f"{len(self.hidden)} hidden units have too many states to list"
        return [why] * len(queries)

    @torch.no_grad()
    def condition(self, queries: QueryBatch) -> EmissionCloud:
        return marginal.listed(self, queries)

    @torch.no_grad()
    def propose(self, queries: QueryBatch, particles: int) -> EmissionCloud:
        return marginal.annealed(self, queries, particles)
