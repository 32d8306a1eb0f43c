"""Questions to reference joints, one of every kind of evidence that has an exact answer there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genprob.query.evidence import Masked, OneOf, Soft, Within

KINDS = ("points", "ranges", "sets", "soft", "masked")

_VISIBLE = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 0])

QUESTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gaussian": {
        "points": {"x2": 1.5, "x4": 2.0},
        "ranges": {"x2": 1.5, "x4": Within(2.0, 5.0)},
        "soft": {"x1": Soft(0.5, sd=1.0), "x3": Soft(-0.5, sd=0.3)},
    },
    "gaussian-mixture": {
        "points": {"x2": 0.3},
        "ranges": {"x1": Within(-1.0, None)},
        "soft": {"x1": Soft(0.5, sd=0.5), "x2": Soft(0.0, sd=1.0)},
    },
    "student": {"points": {"x1": 0.4}, "ranges": {"x1": 0.4, "x2": Within(0.0, 3.0)}},
    "copula": {
        "points": {"lognormal": 1.5, "beta": 0.4},
        "ranges": {"lognormal": Within(1.0, 4.0), "beta": 0.4},
        "soft": {"normal": Soft(0.0, sd=1.0)},
    },
    "circuit": {
        "points": {"x": 0.5, "c": 1.0, "g": "b"},
        "ranges": {"x": Within(-1.0, 1.0), "n": Within(2, 6), "p": Within(1.0, None), "c": Within(-1.0, 0.5)},
        "sets": {"g": OneOf("a", "c"), "n": OneOf(1, 3, 7), "c": OneOf(-1.0, 0.5)},
        "soft": {"p": Soft(1.5, sd=0.5), "n": Soft(4.0, sd=1.0), "g": Soft({"a": 0.2, "b": 1.0})},
    },
    "chest-clinic": {
        "points": {"dyspnoea": 1, "smoking": 1},
        "sets": {"xray": OneOf(1), "asia": OneOf(0, 1)},
        "soft": {"dyspnoea": Soft({"0": 0.2, "1": 0.9}), "smoking": 1},
    },
    "rbm": {
        "points": {"v1": 1, "v4": 0},
        "sets": {"v2": OneOf(0), "v3": OneOf(0, 1)},
        "soft": {"v1": 1, "v2": Soft({"0": 0.3, "1": 1.0})},
    },
    "rbm-array": {"masked": {"v": Masked(_VISIBLE, np.arange(10) < 5)}},
    "ising": {"points": {"s1": 1, "s5": 0}, "soft": {"s2": Soft({"0": 1.0, "1": 0.1})}},
    "tree": {"points": {"x2": 0.6, "x4": 0.5}, "ranges": {"x2": Within(0.2, 0.9), "x4": 0.5}},
    "two-moons": {"points": {"x0": 0.2, "x1": 0.0}},
}
"""Reference -> kind of evidence -> what is given."""
