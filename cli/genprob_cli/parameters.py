"""Parameters that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="the folder that fit wrote", show_default=False)]
Draws = Annotated[int, typer.Option("--draws", metavar="N", min=1, help="how many draws")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="the same seed gives the same answer")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME", help="a variable to ask for; repeat for several", show_default=False),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="EVIDENCE",
        help="what is known: x=1.2, w=0.5..0.6, w=..5, 'g in a,b', v=3.0+-0.2; repeat for several",
        show_default=False,
    ),
]
GivenFile = Annotated[
    Path | None,
    typer.Option(
        "--given-json",
        metavar="FILE",
        help='what is known, as JSON: {"w": {"within": [0.5, null]}, "g": {"one_of": ["a"]}}',
        show_default=False,
    ),
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help="answer by this strategy", show_default=False)
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="a metric; repeat for several; default: log_likelihood, masked, calibration",
        show_default=False,
    ),
]
MetricSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="an option of all metrics that have it (draws=200), or of one (masked.draws=200); repeat for several",
        show_default=False,
    ),
]
Train = Annotated[
    str | None,
    typer.Option(
        "--train", metavar="DATA", help="the rows of the fit, for metrics that compare with them", show_default=False
    ),
]
