"""How a fit grows with the rows of a table, and what a million rows cost to score and to fill in."""

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
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import kept, tables
from benchmarks.kept import Kept

SIZES = (10_000, 100_000, 1_000_000)
ASKED = (1_000, 10_000, 1_000_000)
COLUMNS, LABELS, STEPS, SEED = 24, 6, 300, 0
HOLES = 0.1
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PARTS = ("fit", "score", "impute")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kept.arguments(parser, PARTS)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES), help="of tables fitted")
    parser.add_argument(
        "--asked", type=int, nargs="+", choices=ASKED, default=list(ASKED[:2]), help="rows scored, imputed"
    )
    parser.add_argument("--child", nargs=4, metavar=("PART", "ROWS", "RUN", "OUT"), help="measure one, print JSON")
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measure(*chosen.child)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        store = Kept(chosen.scores or Path(temporary), set())
        run = Path(temporary) / "run"
        for part in chosen.only:
            for size in chosen.sizes if part == "fit" else chosen.asked:
                if part != "fit" and not run.exists():
                    child("fit", SIZES[0], Path(temporary), run)
                own = Path(temporary) / f"run-{size}" if part == "fit" else run
                store.save(f"scaling-{part}-{size}", **child(part, size, Path(temporary), own))
        write(store)


def child(part: str, size: int, folder: Path, run: Path) -> dict[str, float]:
    """One measurement in a process of its own, so that its peak of memory is its own."""
    rows = folder / f"{size}.parquet"
    if not rows.exists():
        table(size).to_parquet(rows)
    command = [
        sys.executable,
        "-m",
        "benchmarks.fit_scaling",
        "--child",
        part,
        str(rows),
        str(run),
        str(folder / "a.nc"),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ONE_THREAD)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{part}, {size:,} rows: {found}", file=sys.stderr, flush=True)
    return found


def table(size: int) -> pd.DataFrame:
    """Correlated numbers, every third one bent, and labels that follow them; with holes."""
    rng = np.random.default_rng(SEED)
    root = np.random.default_rng(SEED + 1).standard_normal((COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
    values = rng.standard_normal((size, COLUMNS)) @ root
    values[:, ::3] = np.tanh(values[:, ::3] + 0.5 * values[:, 1:2] ** 2)
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(COLUMNS)])
    codes = np.floor(2 * values[:, :LABELS] + rng.standard_normal((size, LABELS))).clip(-2, 2).astype(int) + 2
    for j in range(LABELS):
        frame[f"g{j}"] = np.array(list("abcde"))[codes[:, j]]
    return frame.mask(rng.random(frame.shape) < HOLES)


def measure(part: str, rows: str, run: str, out: str) -> dict[str, float]:
    """CPU seconds and peak memory in MB of one part; `before` is the peak with the table and the run in memory."""
    import genprob

    frame = pd.read_parquet(rows)
    found: dict[str, Any] = {}
    if part == "fit":
        before, begun = peak(), time.process_time()
        genprob.fit(frame, "anyorder", out=run, seed=SEED, steps=STEPS)
    else:
        joint = genprob.load(run)
        few = frame.iloc[:200]
        asked = (lambda f: joint.log_prob(f)) if part == "score" else (
            lambda f: joint.query(rows=f, draws=1, seed=SEED, out=out))  # fmt: skip
        asked(few)  # what is imported on first use
        Path(out).unlink(missing_ok=True)
        before, begun = peak(), time.process_time()
        asked(frame)
    found |= {"cpu": time.process_time() - begun, "before": before, "peak": peak(), "steps": STEPS}
    return found


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(store: Kept) -> None:
    rows: list[dict[str, Any]] = []
    notes, names = [], []
    for part in PARTS:
        for size in SIZES if part == "fit" else ASKED:
            found = store.load(f"scaling-{part}-{size}")
            if found is None:
                notes.append(f"{part} of {size:,} rows was not run.")
                continue
            names.append(f"scaling-{part}-{size}")
            cpu = float(found["cpu"])
            memory = {"peak MB": float(found["peak"]), "before MB": float(found["before"])}
            rows.append({"part": part, "rows": f"{size:,}", "CPU s": cpu, "rows / CPU s": size / cpu, **memory})
        notes += extrapolated(store, part)
    if rows:
        notes += store.older(names)
        tables.write("fit_scaling", "Fits and answers of large tables", TEXT, rows, SEED, ("torch", "pandas"), notes)


def extrapolated(store: Kept, part: str) -> list[str]:
    """What a million rows would cost where they were not run: what a row more costs, times a million."""
    cost = [(n, float(kept["cpu"])) for n in ASKED if (kept := store.load(f"scaling-{part}-{n}")) is not None]
    if part == "fit" or not cost or cost[-1][0] == ASKED[-1]:
        return []
    (fewer, before), (size, cpu) = [(0, 0.0), *cost][-2:]
    each = (cpu - before) / (size - fewer)
    return [f"{part} costs {1e3 * each:.2g} ms a row more, so about {1e6 * each:,.0f} s for 1,000,000 rows (not run)."]


TEXT = (
    f"`anyorder` on {COLUMNS} reals and {LABELS} columns of five labels, {HOLES:.0%} of the cells blank, one thread,\n"
    f"each line in a process of its own. `fit` is `genprob.fit(frame, 'anyorder', steps={STEPS})`, one budget for\n"
    "all sizes: what grows is reading, inferring the schema, the Gaussian and the frequencies. `score` is\n"
    "`joint.log_prob(frame)` and `impute` `joint.query(rows=frame, draws=1, out=file)`, both of a joint fitted to\n"
    "10,000 rows. Processor seconds; `before` is the peak with the libraries, the table and the run in memory."
)


if __name__ == "__main__":
    main()
