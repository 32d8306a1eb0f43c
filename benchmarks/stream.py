"""Queries over a million rows written to a file: the rate, and the peak memory of the whole process."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import tables

SIZES = (100_000, 1_000_000)
COLUMNS, COMPONENTS, DRAWS, SEED = 5, 10, 4, 0
HOLES = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--child", nargs=3, metavar=("RUN", "ROWS", "OUT"), help="answer one file and report, as JSON")
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(answer(*map(Path, chosen.child))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = fitted(folder / "run")
        for size in chosen.sizes:
            table(size).to_parquet(folder / "rows.parquet")
            command = [
                sys.executable,
                "-m",
                "benchmarks.stream",
                "--child",
                run,
                folder / "rows.parquet",
                folder / "a.nc",
            ]
            done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True, env=ONE_THREAD)
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append(
                {
                    "rows": f"{size:,}",
                    "seconds": found["seconds"],
                    "CPU s": found["cpu"],
                    "rows / s": size / found["seconds"],
                    "draws / s": size * DRAWS / found["seconds"],
                    "peak MB": found["peak"],
                    "before the query MB": found["before"],
                    "file MB": (folder / "a.nc").stat().st_size / 2**20,
                }
            )
    text = (
        f"`joint.query(rows=frame, draws={DRAWS}, out=file)`: {COLUMNS} reals, {HOLES:.0%} of the cells blank, a\n"
        f"mixture of {COMPONENTS}, one thread, each size in a process of its own. `before the query` is the peak\n"
        "with Python, the libraries, the run and the table in memory: what is above it is the query's own."
    )
    tables.write("stream", "A million queries into a file", text, rows, SEED, ("torch", "h5py", "xarray"))


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def table(size: int) -> pd.DataFrame:
    """Correlated reals with holes."""
    rng = np.random.default_rng(SEED)
    root = np.random.default_rng(SEED + 1).standard_normal((COLUMNS, COLUMNS))
    values = rng.standard_normal((size, COLUMNS)) @ root
    values[rng.random(values.shape) < HOLES] = np.nan
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(COLUMNS)])


def fitted(folder: Path) -> Path:
    """The run that is asked."""
    import genprob

    genprob.fit(table(5000).dropna(how="all"), model="mixture", out=folder, seed=SEED, components=COMPONENTS)
    return folder


def answer(run: Path, rows: Path, out: Path) -> dict[str, float]:
    """Ask every row of a file; seconds of the query and peak memory in MB before and after."""
    import genprob

    joint = genprob.load(run)
    frame = pd.read_parquet(rows)
    joint.query(rows=frame.iloc[:100], draws=DRAWS, seed=SEED)  # what is imported on first use
    before = peak()
    start, busy = time.perf_counter(), time.process_time()
    joint.query(rows=frame, draws=DRAWS, seed=SEED, out=out)
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "cpu": cpu, "peak": peak(), "before": before}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
