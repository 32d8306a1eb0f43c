"""What anyorder learns of a joint whose every answer is known: by rows, by members, at a cost on disagreement."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from benchmarks import tables
from benchmarks.timing import threads
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Ensemble, ScoresCells
from genprob.query.orders import given_points, score_points

SEED, STEPS, TEST, ORDERS = 0, 400, 400, 24
ROWS = (100, 400, 1600, 6400)
BASE = 1600
OPTIONS: tuple[dict[str, Any], ...] = ({"members": 2}, {"consistency": 1.0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of data and training, averaged")
    chosen = parser.parse_args()
    plan = [(rows, {}) for rows in ROWS] + [(BASE, options) for options in OPTIONS]
    with threads(1):
        table = [
            {
                "rows": rows,
                "options": ", ".join(f"{k}={v:g}" for k, v in options.items()) or "none",
                **{k: _mean([one[k] for one in found]) for k in found[0]},
            }
            for rows, options in plan
            for found in [[measure(rows, options, seed) for seed in chosen.seeds]]
        ]
    text = (
        "The reference joint `circuit` (a real, a positive real, a rounded real, a category, a count, a binary) is\n"
        f"learned from so many rows by a small `anyorder` (`hidden=64 blocks=1`, {STEPS} steps). `one cell` is the\n"
        "mean over columns of log p(cell | rest) under the truth less that under the fit, `row` the same of whole\n"
        f"rows (log-mean over {ORDERS} orders and all members), in nats on {TEST} new rows; a perfect fit has 0.\n"
        "`orders` and `members` are the standard deviations of a row's log p over orders and over members, nats.\n"
        f"Means over seeds {', '.join(map(str, chosen.seeds))} of data and training."
    )
    tables.write("anyorder_truth", "Anyorder beside the truth", text, table, SEED, ("torch", "numpy"))


def _mean(values: list[float]) -> float | None:
    """The mean, or nothing where it does not apply."""
    return float(np.mean(values)) if np.isfinite(values).all() else None


def measure(rows: int, options: dict[str, Any], seed: int) -> dict[str, float]:
    """One fit and its errors."""
    import genprob
    from genprob.data.table import Table
    from genprob.testing import references

    reference = references()["circuit"]
    train = Table(reference.schema, reference.sample(rows, seed=seed)).to_dataset()
    begun = time.process_time()
    joint = genprob.fit(
        train, model="anyorder", schema=reference.schema, steps=STEPS, hidden=64, blocks=1, seed=seed, **options
    )
    fitted, model = time.process_time() - begun, joint.model
    assert isinstance(model, Ensemble) and isinstance(model, ScoresCells)
    test = reference.sample(TEST, seed=seed + 100)
    queries = QueryBatch.from_values(reference.schema, test)
    truth = reference.log_evidence(queries)
    torch.manual_seed(seed)
    with torch.no_grad():
        scored = score_points(model, *given_points(queries, model), ORDERS)
        cells = model.log_conditionals(test)
    exact = np.empty_like(cells)
    for j in range(test.shape[1]):
        rest = np.ones(test.shape, dtype=bool)
        rest[:, j] = False
        exact[:, j] = truth - reference.log_evidence(queries.only(rest))
    apart = scored.disagreement
    found = {
        "fit CPU s": fitted,
        "one cell": float((exact - cells).mean()),
        "row": float((truth - scored.evidence.value).mean()),
        "orders": float(apart["order_disagreement"].mean()),
        "members": float(apart.get("member_disagreement", np.full(1, np.nan)).mean()),
    }
    print(f"{rows} rows, {options}, seed {seed}: {found}", flush=True)
    return found


if __name__ == "__main__":
    main()
