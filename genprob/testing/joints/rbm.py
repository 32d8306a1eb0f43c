"""The restricted Boltzmann machine by enumeration of its visible units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary
from genprob.errors import UsageError
from genprob.testing.joints.enumerated import Enumerated

MOST_VISIBLE = 12


class RBM(Enumerated):
    """p(v) proportional to sum_h exp(b' v + c' h + v' W h) over binary v and h.

    Hidden units are summed out in closed form: -F(v) = b' v + sum_j log(1 + exp(c_j + v' W_j)); the partition function
    is a sum over the at most 2^12 visible states. The schema holds one array `v [unit]` or, with `scalars=True`,
    variables v1, v2, ..., which take sets and likelihoods as well.

    Arguments:
        weight: `[visible, hidden]` W.
        visible_bias: `[visible]` b.
        hidden_bias: `[hidden]` c.
        scalars: whether each visible unit is a variable of its own.

    >>> joint = RBM(np.zeros((3, 2)), np.zeros(3), np.zeros(2))
    >>> float(round(joint.log_partition / np.log(2), 6))  # 2^(3 + 2) states, equally likely
    5.0
    """

    def __init__(
        self,
        weight: np.ndarray | Sequence,
        visible_bias: np.ndarray | Sequence,
        hidden_bias: np.ndarray | Sequence,
        *,
        scalars: bool = True,
    ) -> None:
        self.weight, self.visible_bias, self.hidden_bias = (
            np.asarray(x, dtype=np.float64) for x in (weight, visible_bias, hidden_bias)
        )
        n = len(self.visible_bias)
        if n > MOST_VISIBLE:
            raise UsageError(f"{n} visible units have too many states to list; give at most {MOST_VISIBLE}")
        one_by_one = tuple(Variable(f"v{i + 1}", Binary()) for i in range(n))
        self.schema = Schema(one_by_one if scalars else (Variable("v", Binary(), dims=("unit",), shape=(n,)),))

    def free_energy(self, visible: np.ndarray) -> np.ndarray:
        """F(v) of `[n, visible]`, in nats."""
        return -visible @ self.visible_bias - np.logaddexp(0.0, self.hidden_bias + visible @ self.weight).sum(1)

    def log_mass(self, states: np.ndarray) -> np.ndarray:
        return -self.free_energy(states)
