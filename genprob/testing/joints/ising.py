"""The Ising model by enumeration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary
from genprob.errors import UsageError
from genprob.testing.joints.enumerated import Enumerated

MOST_SPINS = 12


class Ising(Enumerated):
    """p(x) proportional to exp(s' J s / 2 + h' s) over binaries x with spins s = 2 x - 1; at most 12 of them.

    Arguments:
        coupling: `[n, n]` J, symmetric; its diagonal only adds a constant.
        field: `[n]` h.

    >>> joint = Ising([[0.0, 1.0], [1.0, 0.0]], [0.0, 0.0])
    >>> np.exp(joint.log_prob([[1, 1]])).round(4).item()  # e / (2 e + 2 / e)
    0.4404
    """

    def __init__(self, coupling: np.ndarray | Sequence, field: np.ndarray | Sequence) -> None:
        self.coupling, self.field = np.asarray(coupling, dtype=np.float64), np.asarray(field, dtype=np.float64)
        if len(self.field) > MOST_SPINS:
            raise UsageError(f"{len(self.field)} spins have too many states to list; give at most {MOST_SPINS}")
        self.schema = Schema(tuple(Variable(f"s{i + 1}", Binary()) for i in range(len(self.field))))

    def log_mass(self, states: np.ndarray) -> np.ndarray:
        spins = 2 * states - 1
        return 0.5 * ((spins @ self.coupling) * spins).sum(1) + spins @ self.field


def ring(spins: int, coupling: float, field: float = 0.0) -> Ising:
    """Spins on a ring, neighbours coupled; of closed form by its 2 x 2 transfer matrix."""
    J = np.zeros((spins, spins))
    for i in range(spins):
        J[i, (i + 1) % spins] = J[(i + 1) % spins, i] = coupling
    return Ising(J, np.full(spins, field))
