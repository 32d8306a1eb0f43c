"""Discrete Bayesian networks by enumeration, and the chest clinic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Categorical
from genprob.testing.joints.enumerated import Enumerated


class BayesianNetwork(Enumerated):
    """p(x) = prod_j p(x_j | parents of j), each factor a table; up to some thousand states.

    Arguments:
        tables: variable -> (parents, table `[levels of each parent..., levels]`), parents before children.
        levels: labels of those that are not binary.

    >>> joint = BayesianNetwork({"a": ((), [0.9, 0.1]), "b": (("a",), [[0.8, 0.2], [0.3, 0.7]])})
    >>> np.exp(joint.log_prob([[1, 1], [float("nan"), 1]])).round(3).tolist()
    [0.07, 0.25]
    """

    def __init__(
        self,
        tables: Mapping[str, tuple[Sequence[str], np.ndarray | Sequence]],
        levels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        named = levels or {}
        self.tables = {name: (tuple(p), np.asarray(t, dtype=np.float64)) for name, (p, t) in tables.items()}
        self.schema = Schema(
            tuple(Variable(n, Categorical(tuple(named[n])) if n in named else Binary()) for n in self.tables)
        )

    def log_mass(self, states: np.ndarray) -> np.ndarray:
        codes = {name: states[:, j].astype(int) for j, name in enumerate(self.tables)}
        out = np.zeros(len(states))
        with np.errstate(divide="ignore"):
            for name, (parents, table) in self.tables.items():
                out += np.log(table[(*(codes[p] for p in parents), codes[name])])
        return out


def chest_clinic() -> BayesianNetwork:
    """The "Asia" network of Lauritzen and Spiegelhalter (1988, Local computations with probabilities), 8 binaries.

    `either` is the logical or of `tuberculosis` and `lung_cancer`: some evidence is impossible.
    """
    return BayesianNetwork(
        {
            "asia": ((), [0.99, 0.01]),
            "tuberculosis": (("asia",), [[0.99, 0.01], [0.95, 0.05]]),
            "smoking": ((), [0.5, 0.5]),
            "lung_cancer": (("smoking",), [[0.99, 0.01], [0.9, 0.1]]),
            "bronchitis": (("smoking",), [[0.7, 0.3], [0.4, 0.6]]),
            "either": (("tuberculosis", "lung_cancer"), [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]),
            "xray": (("either",), [[0.95, 0.05], [0.02, 0.98]]),
            "dyspnoea": (("either", "bronchitis"), [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]]),
        }
    )
