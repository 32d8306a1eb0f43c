"""NumPyro's NUTS, in an environment of its own; its process reports its own CPU seconds."""

from __future__ import annotations

import os
import subprocess
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ENVIRONMENTS = Path(__file__).parent.parent / "environments"


@dataclass(frozen=True)
class Timed:
    """Draws `[draw, chain, d]`, and the CPU seconds of the first call, which compiles, and of the second."""

    draws: Tensor
    first_seconds: float
    second_seconds: float


def environment() -> Path:
    """The Python of the pinned environment, made on first use. Raises CalledProcessError where pip cannot."""
    folder = ENVIRONMENTS / "numpyro"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        pins = ENVIRONMENTS / "numpyro.txt"
        subprocess.run([python, "-m", "pip", "install", "-qq", "--no-deps", "--requirement", str(pins)], check=True)
        (folder / "ready").touch()
    return python


def run(target: str, *, chains: int, warmup: int, draws: int, method: str, seed: int) -> Timed:
    """Both calls sample the same; `method` is NumPyro's chain_method."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "draws.npz"
        script = Path(__file__).parent / "numpyro_process.py"
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        subprocess.run(
            [environment(), script, target, str(chains), str(warmup), str(draws), method, str(seed), str(out)],
            check=True,
            env=os.environ | {"XLA_FLAGS": flags, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        )
        with np.load(out) as found:
            seconds = found["seconds"]
            return Timed(torch.from_numpy(found["draws"]), float(seconds[0]), float(seconds[1]))
