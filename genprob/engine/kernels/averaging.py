"""Dual averaging: a step size that meets a rate of acceptance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genprob.engine.state import Memory


def begun(size: Tensor) -> Memory:
    """Dual averaging begun anew, drawn towards ten times the present size."""
    return {"averaged": 0, "error": torch.zeros_like(size), "anchor": (10 * size).log(), "log_average": size.log()}


def averaged(memory: Memory, acceptance: Tensor, target: float) -> Memory:
    """One step of dual averaging (Nesterov 2009; Hoffman and Gelman 2014, algorithm 5): the next size to try."""
    n = memory["averaged"] + 1
    error = memory["error"] + (target - acceptance - memory["error"]) / (n + 10)
    log_size = memory["anchor"] - math.sqrt(n) / 0.05 * error
    weight = n**-0.75
    log_average = weight * log_size + (1 - weight) * memory["log_average"]
    return {"averaged": n, "error": error, "size": log_size.exp(), "log_average": log_average}
