"""NumPyro's NUTS, in an environment of its own; its process reports its own CPU seconds."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import environment


@dataclass(frozen=True)
class Timed:
    """Draws `[draw, chain, d]`, and the CPU seconds of the first call, which compiles, and of the second."""

    draws: Tensor
    first_seconds: float
    second_seconds: float


def run(target: str, *, chains: int, warmup: int, draws: int, method: str, seed: int) -> Timed:
    """Both calls sample the same; `method` is NumPyro's chain_method."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "draws.npz"
        script = Path(__file__).parent / "numpyro_process.py"
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        settings = (target, chains, warmup, draws, method, seed, out)
        environment.run("numpyro", script, *settings, XLA_FLAGS=flags, OMP_NUM_THREADS="1")
        with np.load(out) as found:
            seconds = found["seconds"]
            return Timed(torch.from_numpy(found["draws"]), float(seconds[0]), float(seconds[1]))
