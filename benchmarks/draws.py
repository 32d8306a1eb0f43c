"""Draws of tables beside held-out rows: generators, CTGAN among them, and models with a density, by sample metrics.

python -m benchmarks.draws --tables diamonds magic --seeds 3
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr

import genprob
from benchmarks import environment, protocol, tables
from genprob.data.measure import Cell
from genprob.data.readers import read
from genprob.data.schema import Schema
from genprob.joint import Joint
from genprob_metrics.energy_distance import EnergyDistance
from genprob_metrics.mmd import MMD
from genprob_metrics.precision_recall import PrecisionRecall
from genprob_metrics.two_sample import TwoSample

ROWS, EPOCHS, PATIENCE = 2000, 150, 1800.0
OURS: dict[str, dict[str, Any]] = {
    "wgan": {"model": "wgan", "steps": 500, "inference": {"name": "adversarial", "batch_size": 128}},
    "anyorder": {"model": "anyorder", "steps": 300},
    "mixture": {"model": "mixture", "components": 30},
}
METHODS = ("rows", "mixture", "anyorder", "wgan", "ctgan")
SCORES = {
    "classifier": (TwoSample(rows=1000), "accuracy"),
    "energy distance": (EnergyDistance(rows=1000, permutations=19), "energy_distance"),
    "MMD": (MMD(rows=1000, permutations=19), "mmd"),
    "precision": (PrecisionRecall(rows=1000), "precision"),
    "recall": (PrecisionRecall(rows=1000), "recall"),
    "coverage": (PrecisionRecall(rows=1000), "coverage"),
}


@dataclass(frozen=True)
class Sheet:
    """Rows that somebody drew, as much of a joint as a metric of samples asks for."""

    schema: Schema
    frame: pd.DataFrame

    def sample(self, draws: int, *, seed: int = 0) -> xr.Dataset:
        chosen = self.frame.sample(draws, random_state=seed).reset_index(drop=True)
        return read(chosen, schema=self.schema, sample_dim="draw")


def fitted(method: str, split: protocol.Split, schema: Schema, seed: int) -> tuple[Any, float]:
    """What draws rows, and the CPU seconds of its fit."""
    train = split.train.sample(min(ROWS, len(split.train)), random_state=seed)
    if method == "rows":
        return Sheet(schema, split.train.drop(train.index)), 0.0
    if method == "ctgan":
        return _ctgan(train, split, schema, seed)
    begun = time.process_time()
    joint = genprob.fit(train, schema=schema, seed=seed, **OURS[method])
    return joint, time.process_time() - begun


def _ctgan(train: pd.DataFrame, split: protocol.Split, schema: Schema, seed: int) -> tuple[Sheet, float]:
    """CTGAN (Xu et al. 2019) as its package leaves it, in its own environment."""
    with TemporaryDirectory() as folder:
        given, taken = Path(folder) / "rows.csv", Path(folder) / "draws.csv"
        train.to_csv(given, index=False)
        script = Path(__file__).parent / "peers" / "ctgan_process.py"
        labels = ",".join(split.encoder.label_names)
        environment.run("sdv", script, given, taken, labels, EPOCHS, len(split.queries), seed, patience=PATIENCE)
        frame = pd.read_csv(taken, dtype=dict.fromkeys(split.encoder.label_names, str))
        seconds = float(taken.with_suffix(".seconds").read_text())
    # As SDV does for it: numbers stay in the range of the training rows, and are rounded as theirs are.
    for name in split.encoder.real_names:
        numbers = frame[name].clip(train[name].min(), train[name].max()).to_numpy(float)
        measure = schema[name].measure
        frame[name] = measure.snap(numbers) if isinstance(measure, Cell) else numbers
    return Sheet(schema, frame), seconds


def judged(drawn: Any, queries: pd.DataFrame) -> dict[str, float]:
    """Every score of draws beside rows that nobody was fitted to."""
    found: dict[Any, Any] = {}
    out = {}
    for name, (metric, score) in SCORES.items():
        if type(metric) not in found:
            found[type(metric)] = metric(cast(Joint, drawn), queries)
        out[name] = next(float(s.value) for s in found[type(metric)].scores if s.name == score)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", default=["diamonds", "magic"], choices=protocol.TABLES)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    lines: list[dict[str, tables.Cell]] = []
    for name in given.tables:
        split = protocol.load(name)
        schema = genprob.fit(split.train, "mixture", components=1, steps=1, schema=split.schema).schema
        for method in given.methods:
            runs, seconds = [], []
            for seed in range(given.seeds):
                drawn, spent = fitted(method, split, schema, seed)
                runs.append(judged(drawn, split.queries))
                seconds.append(spent)
            cells = {key: _spread([run[key] for run in runs]) for key in SCORES}
            lines.append({"table": name, "method": method, **cells, "fit CPU s": float(np.mean(seconds))})
            print(lines[-1], flush=True)
        tables.write("draws", "Draws beside held-out rows", _text(given.seeds), _kept(lines), 0, ("torch",), _notes())


def _kept(lines: list[dict[str, tables.Cell]]) -> list[dict[str, tables.Cell]]:
    """What was run, among the rows of the page that were not run anew; by table and method."""
    ran = {(line["table"], line["method"]) for line in lines}
    kept: list[dict[str, tables.Cell]] = [
        {**row} for row in tables.rows_of("draws") if (row["table"], row["method"]) not in ran
    ]
    order = {name: place for place, name in enumerate((*protocol.TABLES, *METHODS))}
    return sorted([*lines, *kept], key=lambda line: (order[str(line["table"])], order[str(line["method"])]))


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} +- {np.std(values):.3f}"


def _text(seeds: int) -> str:
    return (
        f"{ROWS:,} rows train each method, 1,000 others judge as many draws; mean +- sd over {seeds} seeds. "
        "`classifier` is the accuracy of boosted trees that tell draws from rows (.5 is ideal), precision, recall and "
        "coverage are by the balls of five neighbours. The method `rows` draws other training rows: what a perfect "
        f"model would score. CTGAN (Xu et al. 2019) is its package's, untuned, {EPOCHS} epochs of 300; ours are as "
        "`genprob.fit` has them but for the number of steps. Draws of `wgan` have the noise of `generator+noise`."
    )


def _notes() -> list[str]:
    pins = (environment.FOLDER / "sdv.txt").read_text().split()
    pin = next(pin for pin in pins if pin.startswith("ctgan=="))
    options = "; ".join(f"{name}: {options}" for name, options in OURS.items())
    return [f"Options: {options}.", f"CTGAN runs in the environment of SDV's peers, {pin}, on one thread."]


if __name__ == "__main__":
    main()
