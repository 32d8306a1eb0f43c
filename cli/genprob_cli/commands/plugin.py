"""Write a new plugin, or hold one's models to the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@examples("genprob plugin new factors", "genprob plugin check genprob-factors", "genprob plugin check genprob_factors")
def plugin(
    action: Annotated[str, typer.Argument(metavar="new|check", help="what to do")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the new plugin; a module or distribution to check")],
    path: Annotated[Path, typer.Option("--path", metavar="DIR", help="where the new project is written")] = Path("."),
) -> Answer:
    """Write a new plugin, or hold one's models to the contract.

    `new NAME` writes an installable project that passes as written; `check MODULE|DIST|MODEL` fits every model that it
    offers to a small table and exits with 6 where a clause of the contract fails.
    """
    from genprob.errors import UsageError

    if action == "new":
        return _new(name, path)
    if action == "check":
        return _check(name)
    raise UsageError(f"unknown action {action!r}; genprob plugin new NAME, or genprob plugin check MODULE")


def _new(name: str, path: Path) -> Answer:
    from genprob.testing.scaffold import scaffold

    root = scaffold(name, path)
    files = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    lines = [f"wrote {root}:", *(f"  {f}" for f in files), f"next: pip install -e {root}; genprob plugin check {name}"]
    return Answer({"path": str(root), "files": files}, "\n".join(lines))


def _check(name: str) -> Answer:
    from genprob.errors import PluginError
    from genprob.testing.contract import check
    from genprob_cli.render import stack, table

    reports = [check(model) for model in _models(name)]
    document = {
        "reports": [
            {
                "model": report.model,
                "ok": report.ok,
                "clauses": [
                    {"clause": v.clause, "outcome": v.outcome, "detail": v.detail, "seconds": v.seconds}
                    for v in report.verdicts
                ],
            }
            for report in reports
        ]
    }
    views = [
        table(("clause", "", "seconds", ""), [(v.clause, v.outcome, v.seconds, v.detail) for v in r.verdicts], r.model)
        for r in reports
    ]
    broken = [r.model for r in reports if not r.ok]
    error = PluginError(f"the contract is broken by {', '.join(broken)}") if broken else None
    return Answer(document, stack(*views), error)


def _models(name: str) -> list[str]:
    """The models of a distribution, an entry point or a module, or the one of that name, qualified by their owner."""
    from genprob.errors import PluginError
    from genprob.plugins import catalogue

    found = catalogue()
    models = [c for c in found.contributions if c.kind == "model"]
    wanted = [
        c
        for c in models
        if name in (c.plugin.distribution, c.plugin.name, c.plugin.module, c.plugin.module.partition(".")[0])
    ] or [c for c in models if name in (c.spec.name, f"{c.plugin.distribution}:{c.spec.name}")]
    if not wanted:
        failed = "; ".join(str(f) for f in found.failures if name in (f.distribution, f.entry))
        raise PluginError(
            f"no enabled plugin {name!r} offers a model{': ' + failed if failed else ', or it is not installed'}; "
            "genprob plugins lists what is"
        )
    return [f"{c.plugin.distribution}:{c.spec.name}" for c in wanted]
