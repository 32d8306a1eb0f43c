"""Fit a small table with holes and ask it four questions, in plain language."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@dataclass(frozen=True)
class Question:
    """One question of the demo: in words, as targets and evidence, and the file that keeps its answer."""

    title: str
    words: str
    targets: list[str]
    given: tuple[str, ...]
    file: str


QUESTIONS = (
    Question(
        "forward",
        "A patient of body-mass index 32 and blood pressure 100: how will the disease progress?\n"
        "(progression one year later: 25 is mild, 346 the worst of the table)",
        ["progression"],
        ("bmi=32", "bp=100"),
        "forward.nc",
    ),
    Question(
        "backward, from a range",
        "The same joint, asked the other way round: who are the patients whose disease progresses badly, 250 or more?",
        ["bmi", "bp", "sex"],
        ("progression=250..",),
        "backward.nc",
    ),
    Question(
        "from a noisy reading",
        "A cheap meter shows blood sugar 120, give or take 10, for a patient of sex 2\n"
        "(the source codes sex as 1 and 2): how old, and what to expect?",
        ["age", "bp", "progression"],
        ("glu=120+-10", "sex=2"),
        "noisy.nc",
    ),
)


@examples("genprob demo", "genprob demo --out somewhere", "genprob demo --json")
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="where the run, answers and picture go")] = Path(
        "genprob-demo"
    ),
) -> Answer:
    """Fit a small table with holes and ask it four questions, in plain language."""
    import genprob
    from genprob.results.plot import plot
    from genprob_cli.answer_view import document, view

    data = genprob.read("demo")
    rows, columns = data.sizes["row"], len(data.data_vars)
    _say(
        f"The data: {rows} diabetes patients, {columns} columns: {', '.join(map(str, data.data_vars))}.",
        "A tenth of the cells was removed on purpose: holes are allowed everywhere.",
        "",
        f"Fit one joint distribution of all {columns} columns:  genprob fit demo --out {out / 'run'}",
    )
    joint = _fit(data, out / "run")
    _say("", "From here on nothing is fitted any more. Every question goes to the same joint.", "")

    _say(
        "How to read an answer: the mean, its spread, and q05 to q95, the range that holds nine tenths.",
        "Below, how far to trust it: did the method converge (computation), is the evidence like the data (support),",
        "was the method tested on planted truths (calibration).",
        "",
    )
    answers: dict[str, Any] = {}
    trees: dict[str, Any] = {}
    for number, question in enumerate(QUESTIONS, start=1):
        _ask(number, question, out / "run")
        evidence = _evidence(joint, question)
        tree = joint.query(targets=question.targets, given=evidence, draws=1000, seed=0, out=out / question.file)
        answers[question.title], trees[question.file] = document(tree), tree
        _say(view(tree), "")
    answers["filled holes"] = _fill(joint, data, out)
    picture = plot(trees["backward.nc"], out / "backward.png")
    return Answer(
        {"run": str(out / "run"), "answers": answers, "picture": str(picture)},
        f"All of it is in {out}: the run, an answer per question (netCDF: open them in Python, R or with genprob show)"
        f"\nand a picture of the second one before and after its evidence, {picture}\n"
        f"Next: genprob fit YOUR-TABLE.csv --out runs/a",
    )


def _fit(data: Any, folder: Path) -> Any:
    """A new run, or the one that an earlier demo left there."""
    import genprob
    from genprob_cli.progress import Progress

    folder.parent.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        return genprob.fit(data, out=folder, seed=0, resume=True, progress=progress)


def _ask(number: int, question: Question, run: Path) -> None:
    targets = " ".join(f"--target {name}" for name in question.targets)
    given = " ".join(f"--given '{text}'" for text in question.given)
    _say(f"Question {number}: {question.title}", question.words, f"  genprob query {run} {targets} {given}", "")


def _evidence(joint: Any, question: Question) -> dict[str, Any]:
    from genprob.query.grammar import read_given

    return read_given(joint.schema, question.given)


def _fill(joint: Any, data: Any, out: Path) -> dict[str, Any]:
    """The fourth question: every hole of the first rows that have one, each with how sure the joint is."""
    from genprob_cli.answer_view import document, view

    frame = data.to_dataframe()
    holed = frame[frame.isna().any(axis=1)].head(3).reset_index(drop=True)
    holed.to_csv(out / "holes.csv", index=False)
    names = "; ".join(
        f"row {place}: {' and '.join(map(str, row.index[row.isna()]))}" for place, row in holed.iterrows()
    )
    _say(
        f"Question {len(QUESTIONS) + 1}: fill the holes",
        f"Three patients with holes ({names}): what belongs there, and how sure is it?",
        f"  genprob query {out / 'run'} --rows {out / 'holes.csv'} --draws 200 --out {out / 'filled.nc'}",
        "",
    )
    tree = joint.query(rows=out / "holes.csv", draws=200, seed=0, out=out / "filled.nc")
    _say(view(tree), "")
    return document(tree)


def _say(*parts: Any) -> None:
    """Prints as it goes; under `--json` standard output is elsewhere."""
    from genprob_cli.render import show, stack

    show(stack(*parts), sys.stdout)
