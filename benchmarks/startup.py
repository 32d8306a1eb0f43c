"""How long a command takes before it does anything: whole processes, beside `import torch` alone."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import tables
from benchmarks.timing import seconds

REPEATS = 10


def main() -> None:
    genprob = shutil.which("genprob", path=str(Path(sys.executable).parent)) or "genprob"
    commands = {
        "genprob --help": ([genprob, "--help"], 0.3),
        "genprob models": ([genprob, "models"], 0.5),
        'python -c "import genprob"': ([sys.executable, "-c", "import genprob"], None),
        'python -c "import torch"': ([sys.executable, "-c", "import torch"], None),
        'python -c "pass"': ([sys.executable, "-c", "pass"], None),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for repetition in range(REPEATS + 1):
        for name, (command, _) in commands.items():
            taken = seconds(lambda command=command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
            if repetition:  # the first round warms the file cache
                times[name].append(taken)
    torch = statistics.median(times['python -c "import torch"'])
    rows = [
        {
            "process": f"`{name}`",
            "median s": statistics.median(times[name]),
            "slowest s": max(times[name]),
            "ratio to import torch": statistics.median(times[name]) / torch,
            "target s": target,
        }
        for name, (_, target) in commands.items()
    ]
    text = f"Wall time of whole processes, median of {REPEATS} after one to warm the file cache."
    tables.write("startup", "Start of a command", text, rows, seed=0, packages=("torch", "typer"))


if __name__ == "__main__":
    main()
