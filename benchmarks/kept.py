"""Scores that a user asks to be kept, so that a page can be written again after one method ran anew."""

from __future__ import annotations

import argparse
import ast
import datetime
import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.protocol import Split


@dataclass(frozen=True)
class Kept:
    """Arrays by name in a folder, one `.npz` each; nothing is kept where no folder was given."""

    folder: Path
    fresh: set[str]

    def save(self, name: str, **arrays: Any) -> None:
        when = datetime.date.today().isoformat()
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self.folder / f"{name}.npz", when=when, versions=tables.versions(("torch",)), **arrays)
        self.fresh.add(name)

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays, or None where they were never kept."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            return None
        with np.load(path) as found:
            return {key: found[key] for key in found.files}

    def older(self, names: list[str]) -> list[str]:
        """A line on how much was read from the folder and not measured by this run."""
        read = [found for name in names if name not in self.fresh and (found := self.load(name)) is not None]
        days = sorted({str(found["when"]) for found in read})
        return [f"{len(read)} of {len(names)} scores were kept from runs of {', '.join(days)}."] if days else []


def fitted(split: Split, options: dict[str, Any], seed: int, runs: Path) -> tuple[Any, float]:
    """The joint of a table and the CPU seconds of its fit, from a folder of runs where the same fit lies there."""
    import genprob

    about = json.dumps({**options, "seed": seed, "version": genprob.__version__}, sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()[:8]
    run, clock = (runs / f"{split.name}-{digest}{end}" for end in ("", ".seconds"))
    if clock.exists():
        print(f"{split.name}: the fit of {run} is used again", file=sys.stderr, flush=True)
        return genprob.load(run), float(clock.read_text())
    begun = time.process_time()
    joint = genprob.fit(split.train, out=run, seed=seed, **options)
    seconds = time.process_time() - begun
    clock.write_text(repr(seconds))
    return joint, seconds


def arguments(parser: argparse.ArgumentParser, choices: list[str] | tuple[str, ...]) -> None:
    """`--only` (nothing: the page is written again from what is kept), `--scores`, `--runs` and `--set`."""
    parser.add_argument("--only", nargs="*", choices=choices, default=list(choices))
    parser.add_argument("--scores", type=Path, help="folder that keeps scores; what is not run is read from it")
    parser.add_argument("--runs", type=Path, help="folder that keeps fits; a fit that lies there is not repeated")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of anyorder")


def options(words: list[str]) -> dict[str, Any]:
    """`members=4` as {"members": 4}; what is no literal is text."""
    out: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            out[name] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            out[name] = text
    return out
