"""Learn the joint distribution of all variables of a data set."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@examples(
    "genprob fit table.csv --out runs/a",
    "genprob fit table.csv --out runs/b --model mixture --set components=30 --seed 1",
    "genprob fit table.csv --out runs/c --inference em --set inference.tolerance=1e-5 --steps 200",
    "genprob fit table.csv --out runs/d --ignore customer_id --support visits=count",
    "genprob fit table.csv --out runs/a --resume",
)
def fit(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="csv, parquet, netCDF, npz, or the name of a data set, e.g. demo")
    ],
    *,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="see genprob models", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="the folder to write", show_default=False)],
    inference: Annotated[
        str | None,
        typer.Option("--inference", metavar="NAME", help="how to fit; see genprob models NAME", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="K=V",
            help="an option of the model, or with inference.K=V of the inference; repeat for several",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option("--schema", metavar="FILE", help="an edited schema.toml", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="NAME", help="leave a variable out; repeat for several", show_default=False),
    ] = None,
    support: Annotated[
        list[str] | None,
        typer.Option(
            "--support",
            metavar="NAME=SUPPORT",
            help="say what a variable is: n=count, 'p=interval(0, 1)', price=cell(0.01), id=categorical; repeat for "
            "several",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=0, help="engine steps in all; for em, iterations", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="of everything random  [default: 0]", show_default=False)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="D", help="auto, cpu, cuda, ...  [default: auto]", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue a stopped run with the same data")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML or JSON with any of model, inference, options, seed, steps, device, schema; "
            "a run's config.json repeats its fit",
            show_default=False,
        ),
    ] = None,
) -> Answer:
    """Learn the joint distribution of all variables of a data set.

    Ctrl-C saves a checkpoint and says how to go on.
    """
    import genprob
    from genprob_cli.progress import Progress
    from genprob_cli.settings import read_config, settle

    said = read_config(config) if config else {}
    name = model or said.get("model")
    said = settle(said, _first(name, out, resume), inference, settings or ())
    began = time.monotonic()
    with Progress() as progress:
        joint = genprob.fit(
            data,
            model=name,
            out=out,
            seed=seed if seed is not None else said.get("seed", 0),
            steps=steps if steps is not None else said.get("steps"),
            device=device or said.get("device", "auto"),
            inference=said["inference"],
            schema=_schema(schema or said.get("schema"), ignore or (), support or ()),
            resume=resume,
            progress=progress,
            **said["options"],
        )
    document = _document(joint, out, time.monotonic() - began)
    return Answer(document, _view(document, _target(joint.schema)))


def _schema(stated: Any, ignore: Iterable[str], supports: Iterable[str]) -> Any:
    """What a file states of variables, overruled by what the command line says of single ones."""
    from genprob.data.schema import Schema
    from genprob.data.schema_file import read_schema
    from genprob_cli.settings import assignment

    said = dict(assignment(word, "--support", "NAME=SUPPORT", "--support visits=count") for word in supports)
    said |= {name: "ignore" for name in ignore}
    if not said or stated is None:
        return said or stated
    read = read_schema(stated)
    known = {v.name: v for v in read} if isinstance(read, Schema) else dict(read)
    return known | said


def _first(model: str | None, out: Path, resume: bool) -> str:
    """The inference that a fit takes unless one is named: the model's first, or the one that a resumed run has."""
    from genprob.engine.run import Run
    from genprob.plugins import find
    from genprob.request import DEFAULT_MODEL

    if resume and Run.exists(out):
        return Run.open(out).config["inference"]["name"]
    return find("model", model or DEFAULT_MODEL).inferences[0]


def _document(joint: Any, out: Path, seconds: float) -> dict[str, Any]:
    # Of the step that is kept: a fit that stopped early went on a while after its best one.
    events = [event for event in joint.run.events() if event["step"] <= (joint.run.step or 0)]
    return {
        "run": str(out),
        "model": joint.run.config["model"],
        "inference": joint.run.config["inference"],
        "seed": joint.run.config["seed"],
        "rows": joint.run.config["rows"],
        "variables": list(joint.schema.names),
        "step": joint.run.step,
        "metrics": {k: v for k, v in (events[-1] if events else {}).items() if k not in ("step", "time")},
        "choice": joint.run.config.get("choice"),
        "seconds": round(seconds, 3),
    }


def _target(schema: Any) -> str:
    """A variable worth asking for: the last that is no constant."""
    varied = [v.name for v in schema if not (v.note or "").startswith("guessed: constant")]
    return (varied or schema.names)[-1]


def _view(document: dict[str, Any], target: str) -> str:
    from genprob_cli.render import cell

    metrics = ", ".join(f"{name} {cell(value)}" for name, value in document["metrics"].items())
    names = document["variables"]
    return (
        f"fitted {document['model']} by {document['inference']['name']} to {document['rows']} rows of "
        f"{len(names)} variables in {document['seconds']:.1f} s (step {document['step']}; {metrics})\n"
        f"run: {document['run']}\n"
        f"ask it: genprob query {document['run']} --target {shlex.quote(target)} --out answer.nc"
    )
