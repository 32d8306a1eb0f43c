"""Hamiltonian chains over the code of a VAE: 1,000 queries in one batch beside a loop over queries."""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import genprob
from benchmarks import tables
from benchmarks.timing import threads
from genprob.engine.diagnostics.rhat import rhat
from genprob.engine.kernels import ChEES, sample
from genprob.engine.randomness import Randomness
from genprob.engine.scope import running
from genprob.joint import Joint
from genprob.query.batch import QueryBatch
from genprob.query.capabilities import Guided

TEXT = """\
A VAE 10-64-64-4 of ten reals on a curved surface; of each of 1,000 new rows about half the cells are given (a mask of
its own), and four chains over the code start from the guide: {warmup} steps that adapt step size and trajectory for
each query, then {draws} that are kept (ChEES-HMC, at most 16 leapfrog steps). In one batch every leapfrog step is one
pass of all 4,000 rows through the decoder; the loop runs the same code a query at a time, and is timed on {looped} of
the queries. Processor seconds of one thread. Aim: at least 50 times the loop."""
QUERIES, CHAINS, SEED = 1000, 4, 0


def surface(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(rows, 2))
    basis = np.random.default_rng(7).normal(size=(5, 10))
    bent = np.c_[u, u[:, 0] ** 2 - 1, np.sin(2 * u[:, 1]), u[:, 0] * u[:, 1]]
    return bent @ basis + 0.3 * rng.normal(size=(rows, 10))


def fitted() -> Joint:
    data = {f"x{j}": column for j, column in enumerate(surface(4000, 0).T)}
    inference = {"name": "elbo", "lr": 5e-3, "holdout": 0.0, "amortise": 1.0}
    return genprob.fit(data, "vae", steps=600, seed=SEED, latent=4, hidden=(64, 64), inference=inference)


def chains(joint: Joint, queries: QueryBatch, draws: int, warmup: int) -> torch.Tensor:
    """Positions `[draw, chain, query, latent]`."""
    model = joint.model
    assert isinstance(model, Guided)
    with running(Randomness(SEED)):
        path = model.path(queries)
        start = model.guided(queries, CHAINS)

        def log_density(z: torch.Tensor) -> torch.Tensor:
            return torch.stack(path.scores(z)).sum(0)

        return sample(ChEES(log_density, longest=16), start, draws=draws, warmup=warmup)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--warmup", type=int, default=60)
    parser.add_argument("--looped", type=int, default=8)
    chosen = parser.parse_args()
    with threads(1):
        joint = fitted()
        rows = surface(QUERIES, 1)
        rows[np.random.default_rng(2).random(rows.shape) < 0.5] = np.nan
        queries = QueryBatch.from_values(joint.schema, rows)
        seconds, means, worst = {}, {}, {}
        start = time.process_time()
        batch = chains(joint, queries, chosen.draws, chosen.warmup)
        seconds["one batch"] = time.process_time() - start
        start = time.process_time()
        each = [chains(joint, queries.take(slice(q, q + 1)), chosen.draws, chosen.warmup) for q in range(chosen.looped)]
        seconds["loop"] = (time.process_time() - start) * QUERIES / chosen.looped
        alone = torch.cat([z.reshape(chosen.draws, CHAINS, 1, -1) for z in each], 2)
        for name, z in (("one batch", batch), ("loop", alone)):
            worst[name] = float(rhat(z).amax(-1).median())
            means[name] = z[:, :, : chosen.looped].mean((0, 1))
        spread = batch[:, :, : chosen.looped].std((0, 1))
        apart = float(((means["loop"] - means["one batch"]) / spread).abs().mean())
        table = [
            {
                "method": name,
                "seconds of 1,000 queries": s,
                "times the batch": round(s / seconds["one batch"], 1),
                "median of the worst R-hat": round(worst[name], 3),
            }
            for name, s in seconds.items()
        ]
        notes = [f"Means of the code, batch beside loop: {apart:.2f} posterior deviations apart in the mean."]
        text = TEXT.format(draws=chosen.draws, warmup=chosen.warmup, looped=chosen.looped)
        tables.write("latent_hmc", "Latent HMC: a batch of queries and a loop", text, table, SEED, ("torch",), notes)


if __name__ == "__main__":
    main()
