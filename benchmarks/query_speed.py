"""1,000 queries with a mask each x 100 draws of a mixture of 30: genprob beside the same exact conditional in numpy."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import tables
from benchmarks.em_speed import table as synthetic
from benchmarks.protocol import CATEGORIES, POINTS, diamonds
from benchmarks.reference import textbook
from benchmarks.reference.conditional_mixture import Codes, Floats, Parameters, answer
from benchmarks.timing import race, threads

QUERIES, DRAWS, COMPONENTS, SEED, TARGET = 1000, 100, 30, 0, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    rows, notes = [], [f"Target: genprob in at most {TARGET:g} of a reference's time."]
    with threads(1):
        for table in (reals(), mixed()):
            row, agreement = measure(*table, chosen.repeats)
            rows.append(row)
            notes.append(agreement)
    text = (
        f"{QUERIES:,} rows with a random half of the cells blank (`distinct masks` counts them), {DRAWS} draws each,\n"
        f"{COMPONENTS} components with full covariances, one thread. genprob's time is that of the whole call\n"
        "`joint.query(rows=frame)`: reading the frame, planning, draws, exact marginals, support, labelled result.\n"
        "Both references go row by row and return bare arrays: `benchmarks/reference/textbook.py` component by\n"
        "component with scipy, `benchmarks/reference/conditional_mixture.py` vectorised over the components. Medians\n"
        f"of {chosen.repeats} rounds in which contenders took turns."
    )
    tables.write("query_speed", "Speed of exact conditionals", text, rows, SEED, ("torch", "numpy"), notes)


Table = tuple[str, pd.DataFrame, pd.DataFrame, dict[str, Any]]  # name, training rows, queries, schema


def reals() -> Table:
    """Ten reals of a synthetic mixture; all masks differ."""
    frame = synthetic().iloc[:20_000]
    rng = np.random.default_rng(SEED)
    masks = rng.choice(2**10 - 2, size=QUERIES, replace=False) + 1  # something given, something asked
    observed = (masks[:, None] >> np.arange(10)) & 1 == 1
    asked = frame.iloc[-QUERIES:].reset_index(drop=True)
    return "10 reals", frame.iloc[:-QUERIES], asked.where(pd.DataFrame(observed, columns=asked.columns)), {}


def mixed() -> Table:
    """Diamonds: 7 reals and 3 categorical variables."""
    data = diamonds()
    return "diamonds (7 reals, 3 categorical)", data.train, data.holed(SEED), POINTS


def measure(
    name: str, train: pd.DataFrame, queries: pd.DataFrame, schema: dict[str, Any], repeats: int
) -> tuple[dict[str, Any], str]:
    """A row of the table, and a line that says whether both answer alike."""
    import genprob

    joint = genprob.fit(train, model="mixture", components=COMPONENTS, seed=SEED, schema=schema)
    mixture, encoded = parameters(joint), encode(joint, queries)

    def ours() -> Any:
        return joint.query(rows=queries, draws=DRAWS, seed=SEED)

    def theirs() -> tuple[Floats, Codes]:
        return answer(mixture, *encoded, draws=DRAWS, seed=SEED)

    def printed() -> tuple[Floats, Codes]:
        return textbook.answer(mixture, *encoded, draws=DRAWS, seed=SEED)

    timed, slow = race(ours, theirs, repeats), race(ours, printed, (repeats + 1) // 2)
    row = {
        "table": name,
        "distinct masks": len(np.unique(encoded[2], axis=0)),
        "genprob s": timed.seconds[0],
        "vectorised s": timed.seconds[1],
        "textbook s": slow.seconds[1],
        "ratio to vectorised": timed.ratio,
        "ratio to textbook": slow.ratio,
    }
    test = agreement(joint, queries, ours(), theirs())
    return row, f"{name.capitalize()}: ranks of one reference draw among genprob's, one hidden cell a row, {test}."


def parameters(joint: Any) -> Parameters:
    """The fitted mixture in encoded coordinates."""
    import torch

    model = joint.model
    with torch.no_grad():
        sizes = [len(joint.schema[name].support.levels) for name in categorical(joint)]
        shares = model.level_log_probs().exp().numpy()
        split = tuple(np.split(shares, np.cumsum(sizes)[:-1], axis=1)) if sizes else ()
        return Parameters(model.weights().exp().numpy(), model.mean.numpy(), model.covariance().numpy(), split)


def categorical(joint: Any) -> list[str]:
    return [name for name in joint.schema.names if name in CATEGORIES]


def encode(joint: Any, frame: pd.DataFrame) -> tuple[Floats, Codes, NDArray[np.bool_]]:
    """Encoded reals, label codes and what is given; blanks are zeros."""
    import torch

    labels = categorical(joint)
    numbers = [name for name in joint.schema.names if name not in labels]
    observed = frame[numbers + labels].notna().to_numpy()
    filled = frame[numbers].fillna(frame[numbers].mean()).to_numpy(dtype=np.float64)
    z = joint.model.encoder.encode(torch.as_tensor(filled)).numpy()
    codes = [pd.Categorical(frame[name], categories=list(joint.schema[name].support.levels)).codes for name in labels]
    stacked = np.stack(codes, axis=1).astype(np.int64) if codes else np.zeros((len(frame), 0), dtype=np.int64)
    return np.where(observed[:, : len(numbers)], z, 0.0), stacked, observed


def agreement(joint: Any, queries: pd.DataFrame, ours: Any, theirs: tuple[Floats, Codes]) -> str:
    """Ranks are uniform where both draw from the same law; ties are broken at random."""
    import torch
    from scipy.stats import kstest

    rng = np.random.default_rng(SEED)
    labels = categorical(joint)
    numbers = [name for name in joint.schema.names if name not in labels]
    encoder = joint.model.encoder
    first = encoder.snap(encoder.decode(torch.as_tensor(theirs[0][:, 0]))).numpy()
    posterior = ours["posterior"].dataset
    ranks = []
    for row, blank in enumerate(queries[numbers + labels].isna().to_numpy()):
        if not blank.any():
            continue
        column = rng.choice(np.flatnonzero(blank))
        if column < len(numbers):
            draws, one = posterior[numbers[column]][row].to_numpy().reshape(-1), first[row, column]
        else:
            name = labels[column - len(numbers)]
            levels = list(joint.schema[name].support.levels)
            draws = pd.Categorical(posterior[name][row].to_numpy().reshape(-1), categories=levels).codes
            one = theirs[1][row, 0, column - len(numbers)]
        below, level = (draws < one).sum(), (draws == one).sum()
        ranks.append((below + rng.random() * (level + 1)) / (len(draws) + 1))
    return f"uniform with Kolmogorov-Smirnov p = {kstest(ranks, 'uniform').pvalue:.2f}"


if __name__ == "__main__":
    main()
