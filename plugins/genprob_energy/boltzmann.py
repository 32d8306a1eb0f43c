"""The Boltzmann machine: binaries and categories coupled pair by pair, with hidden units if wanted."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genprob.data.schema import Schema
from genprob.engine.kernels.single_site import coloured
from genprob.errors import UsageError
from genprob_energy.lateral import LateralMachine, Sites, neighbours
from genprob_energy.layers import Layers
from genprob_energy.partitioned import Unnormalised

COUPLINGS = ("all", "grid")


class Coupled(Layers):
    """Layers whose visible units are coupled pair by pair.

    Arguments:
        hidden: number of hidden units that are summed out.
        couplings: `all` pairs of columns, or `grid`: the neighbours in each array.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    allowed: Tensor

    def __init__(self, schema: Schema, *, hidden: int, couplings: str, chains: int, temperatures: int) -> None:
        for variable in schema.columns:
            if variable.cardinality is None:
                raise UsageError(
                    f"variable {variable.name!r} is {variable.support.kind}: {type(self).__name__.lower()} takes "
                    "binary and categorical variables; state it as categorical if it has few values (rbm takes reals "
                    "as well)"
                )
        super().__init__(schema, hidden=hidden, chains=chains, temperatures=temperatures)
        if couplings not in COUPLINGS:
            raise UsageError(f"couplings {couplings!r} is not one of: {', '.join(COUPLINGS)}")
        pairs = neighbours(schema) if couplings == "grid" else ~torch.eye(schema.width, dtype=torch.bool)
        self.lateral = nn.Parameter(torch.zeros(self.units.width, self.units.width, dtype=self.precision))
        owner = [*self.units.binaries, *(j for j, size in self.units.levels.items() for _ in range(size))]
        self.register_buffer("allowed", pairs[owner][:, owner])
        self.sites = tuple(Sites.of(self.units, group.tolist()) for group in coloured(pairs))

    def machine(self) -> LateralMachine:
        lateral = 0.5 * (self.lateral + self.lateral.mT) * self.allowed
        return LateralMachine(
            self.units,
            self.weight,
            self.visible - self.weight @ self.centre - lateral @ self.offset,
            self.hidden - self.offset @ self.weight,
            self.base,
            lateral,
            self.sites,
        )


class Boltzmann(Unnormalised, Coupled):
    """A Boltzmann machine over binaries (Ising) and categories (Potts): every pair of columns may be coupled.

    -E(x) = f(x)' J f(x) / 2 + b . f(x) + sum_j log(1 + exp(c_j + f(x) . W_j)), f(x) the indicators of the columns'
    values, J zero within a column, hidden units (none by default) coupled to visible ones only, so that they can be
    summed out; `tangled` couples them to one another too. Couplings act on deviations from the data's means, which is
    centring. Its chains draw a column at a time, or a colour of columns where couplings are those of a grid.

    See also: Ackley, Hinton and Sejnowski 1985; Potts 1952; Osindero and Hinton 2008 (lateral and hidden units).

    Arguments:
        hidden: number of hidden units.
        couplings: `all` pairs of columns, or `grid`: the neighbours in each array.
        chains: parallel chains that estimate the partition function.
        temperatures: steps of their path.
    """

    inferences: ClassVar[tuple[str, ...]] = ("pcd", "pseudolikelihood", "cd")

    def __init__(
        self,
        schema: Schema,
        *,
        hidden: int = 0,
        couplings: Literal["all", "grid"] = "all",
        chains: int = 256,
        temperatures: int = 200,
    ) -> None:
        super().__init__(schema, hidden=hidden, couplings=couplings, chains=chains, temperatures=temperatures)

    def log_pseudo_likelihood(self, points: Tensor) -> Tensor:
        return self.machine().log_conditionals(points).sum(-1)

    # --- a joint density, for enumeration and annealed SMC

    def log_joint(self, values: Tensor) -> Tensor:
        flat = values.reshape(-1, values.shape[-1]).to(self.precision)
        return -self.machine().free_energy(flat).double().reshape(values.shape[:-1])
