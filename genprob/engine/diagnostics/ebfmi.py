"""E-BFMI: whether momenta, drawn anew, move chains across their energies."""

from __future__ import annotations

from torch import Tensor

from genprob.engine.diagnostics.normal_scores import checked


def ebfmi(energy: Tensor) -> Tensor:
    """Estimated Bayesian fraction of missing information (Betancourt 2016), `[draw, chain, ...] -> [chain, ...]`.

    Of the Hamiltonian's energies. Below about .3 the tails are hardly explored.
    """
    energy = checked(energy)
    return energy.diff(dim=0).square().mean(0) / energy.var(0)
