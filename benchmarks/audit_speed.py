"""Seconds of an audit: a mixture of the diamonds table, 200 planted queries x 3 shares x 2 kinds of evidence."""

from __future__ import annotations

import time

import genprob
from benchmarks import tables
from benchmarks.timing import threads

SEED, COMPONENTS, STEPS = 0, 30, 60
QUERIES, SHARES, KINDS = 200, (0.25, 0.5, 0.75), ("points", "ranges")
TARGET = 60.0


def main() -> None:
    with threads(1):
        joint = genprob.fit("diamonds", components=COMPONENTS, steps=STEPS, seed=SEED)
        started, spent = time.process_time(), time.perf_counter()
        cells = joint.audit(queries=QUERIES, shares=SHARES, kinds=KINDS, seed=SEED)
        cpu, wall = time.process_time() - started, time.perf_counter() - spent
    rows = [
        {
            "kind": str(cell["kind"].item()),
            "share": float(cell["share"]),
            "strategy": str(cell["strategy"].item()),
            "queries": int(cell["queries"]),
            "verdict": str(cell["verdict"].item()),
            "p": float(cell["p"]),
            "s": float(cell["seconds"]),
        }
        for cell in (cells.isel(cell=i) for i in range(cells.sizes["cell"]))
    ]
    text = (
        f"A mixture of {COMPONENTS} components fitted to {joint.rows:,} rows of {len(joint.schema)} variables, audited "
        f"by `joint.audit(queries={QUERIES}, shares={SHARES}, kinds={KINDS})` on one thread: **{wall:.1f} s** "
        f"({cpu:.1f} s of processor time); target {TARGET:.0f} s. The fit is not timed. `s` shares the time of a "
        "cell's queries among the strategies that answered."
    )
    tables.write(
        "audit_speed", "The audit of a mixture on diamonds", text, rows, seed=SEED, packages=("torch", "numpy")
    )
    print(f"{wall:.1f} s wall, {cpu:.1f} s processor, target {TARGET:.0f} s")


if __name__ == "__main__":
    main()
