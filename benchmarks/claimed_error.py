"""Claimed v true error of every strategy on the reference joints: is a Monte Carlo error what it says it is?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import tables
from benchmarks.timing import threads
from genprob.engine.scope import running
from genprob.errors import UsageError
from genprob.query.batch import QueryBatch
from genprob.query.planner import Planner
from genprob.testing import references
from genprob.testing.questions import KINDS, QUESTIONS

SEED, COPIES, TRUTH, DRAWS, PARTICLES = 0, 10, 20_000, 400, 400
FIGURE = Path(__file__).parent.parent / "docs" / "explanation" / "figures" / "claimed_error.png"
FLOOR = 1e-6
"""Errors below that are drawn there: exact answers have none but rounding."""


@dataclass(frozen=True)
class Found:
    """Answers of one strategy to copies of one question.

    Attributes:
        z: true over claimed errors, log-evidence and means alike (exact answers left out).
        evidence, mean: (claimed, true) root mean squares over the copies; of means the worst target, in its sd.
        failed: share of answers that say so.
    """

    strategy: str
    joint: str
    kind: str
    z: np.ndarray
    evidence: tuple[float, float]
    mean: tuple[float, float]
    failed: float
    seconds: float


def root(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def ask(name: str, kind: str) -> Iterator[Found]:
    reference, given = references()[name], QUESTIONS[name][kind]
    joint = reference.as_joint()
    one = QueryBatch.from_evidence(reference.schema, [given])
    exact = float(reference.log_evidence(one)[0])
    drawn = reference.conditional(one, TRUTH, SEED + 1)
    centre, spread = drawn.mean(0), np.maximum(drawn.std(0), 1e-12)
    own = spread / np.sqrt(TRUTH)
    many = QueryBatch.from_evidence(reference.schema, [given] * COPIES)
    for strategy in ("closed-form", "enumeration", "importance", "smc", "rejection"):
        planner = Planner(joint, strategy)
        if not planner.words(one)[0][0].offered:
            continue
        started = time.process_time()
        with running(joint.rng(SEED)), torch.no_grad():
            try:
                answer = planner.strategies[strategy].answer(
                    joint, many, DRAWS, None if strategy == "rejection" else PARTICLES
                )
            except UsageError:
                continue
        seconds = (time.process_time() - started) / COPIES
        off = answer.log_evidence - exact
        z = [off / answer.log_evidence_se] if (answer.log_evidence_se > 1e-9).all() else []
        worst, at = (0.0, 0.0), -1.0
        for target in many.targets:
            if reference.schema[target].support.kind == "categorical":
                continue
            columns = np.arange(reference.schema.width)[reference.schema.slices[target]]
            columns = columns[many.asked[0, columns]]
            first = reference.schema.slices[target].start
            mean = answer.marginals[target].mean.reshape(COPIES, -1)[:, columns - first]
            claimed = np.hypot(answer.marginals[target].mcse.reshape(COPIES, -1)[:, columns - first], own[columns])
            away = mean - centre[columns]
            if strategy not in ("closed-form", "enumeration"):
                z.append((away / claimed).ravel())
            pair = root(claimed / spread[columns]), root(away / spread[columns])
            ratio = abs(np.log(pair[1] / pair[0]))
            if ratio > at:
                worst, at = pair, ratio
        failed = np.mean([bool(f) for f in answer.failures])
        print(f"{name}, {kind}, {strategy}: {seconds:.2f} s", flush=True)
        yield Found(
            strategy, name, kind, np.concatenate(z) if z else np.zeros(0), (root(answer.log_evidence_se), root(off)),
            worst, float(failed), seconds,
        )  # fmt: skip


def draw(found: list[Found]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours: dict[str, str] = dict(zip(("closed-form", "enumeration", "importance", "smc", "rejection"),
                       ("#4477aa", "#66ccee", "#228833", "#ee6677", "#ccbb44"), strict=True))  # fmt: skip
    marks: dict[str, str] = dict(zip(KINDS, "osD^v", strict=True))
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), constrained_layout=True)
    titles = ("log-evidence (nats)", "mean of the target (in its sd)")
    for axis, title, which in zip(axes, titles, ("evidence", "mean"), strict=True):
        low, high = (FLOOR / 2, 1.0) if which == "evidence" else (1e-3, 1.0)
        line = np.geomspace(low, high, 50)
        # The root mean square of so many copies lies within these factors in 95 % of cases.
        band = np.sqrt(1 + np.array([-1.96, 1.96]) * np.sqrt(2 / COPIES))
        axis.fill_between(line, band[0] * line, band[1] * line, color="0.9", zorder=0)
        axis.plot(line, line, color="0.6", lw=1, zorder=1)
        for one in found:
            x, y = (max(v, FLOOR) for v in getattr(one, which))
            axis.scatter(x, y, color=colours[one.strategy], marker=marks[one.kind], s=36, alpha=0.85, linewidth=0)
        axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), title=title, aspect="equal")
        axis.set(xlabel="claimed error", ylabel="true error")
    for name, colour in colours.items():
        axes[0].scatter([], [], color=colour, label=name)
    for kind, mark in marks.items():
        axes[0].scatter([], [], color="0.4", marker=mark, label=kind)
    axes[0].legend(fontsize=8, ncols=2, loc="upper left", frameon=False)
    axes[0].annotate("exact: rounding only", (1.3 * FLOOR, 1.6 * FLOOR), fontsize=8, color="0.3")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    with threads(1):
        found = [f for name, kinds in QUESTIONS.items() for kind in kinds for f in ask(name, kind)]
    draw(found)
    rows = []
    for strategy in dict.fromkeys(f.strategy for f in found):
        mine = [f for f in found if f.strategy == strategy]
        z = np.concatenate([f.z for f in mine])
        rows.append(
            {
                "strategy": strategy,
                "questions": len(mine),
                "log-evidence claimed": root(np.array([f.evidence[0] for f in mine])),
                "log-evidence true": root(np.array([f.evidence[1] for f in mine])),
                "z rms": root(z) if len(z) else None,
                "within 1": float(np.mean(np.abs(z) < 1)) if len(z) else None,
                "within 2": float(np.mean(np.abs(z) < 2)) if len(z) else None,
                "failed %": 100 * float(np.mean([f.failed for f in mine])),
                "CPU ms": 1e3 * float(np.median([f.seconds for f in mine])),
            }
        )
    text = (
        f"Every strategy that offers answers {COPIES} copies of {sum(map(len, QUESTIONS.values()))} questions, with "
        f"{PARTICLES} particles where it has any, to "
        f"{len(QUESTIONS)} reference joints (points, ranges, sets, soft and masked evidence; "
        "`genprob.testing.questions`). A claimed error is `log_evidence_se`, or the `mcse` of a target's mean; the "
        f"true one is the distance from the exact log-evidence, or from the mean of {TRUTH} exact draws, whose own "
        "error is added to the claim. z is true over claimed: its root mean square should be 1, and 68 % and 95 % "
        "should lie within 1 and 2. Root mean squares over questions and copies; CPU time of one query (median).\n\n"
        "![claimed and true errors, a dot a question](../explanation/figures/claimed_error.png)"
    )
    tables.write(
        "claimed_error", "Claimed and true errors of every strategy", text, rows, seed=SEED, packages=("torch",)
    )


if __name__ == "__main__":
    main()
