"""List the plugins, their versions and hooks, and what is wrong with them."""

from __future__ import annotations

from typing import Annotated

import typer

from genprob_cli.answer import Answer
from genprob_cli.examples import examples


@examples("genprob plugins", "genprob plugins --strict", "GENPROB_PLUGINS=mixture,-other genprob plugins")
def plugins(
    strict: Annotated[bool, typer.Option("--strict", help="exit with 6 if any plugin failed to load")] = False,
) -> Answer:
    """List the plugins, their versions and hooks, and what is wrong with them."""
    from genprob.errors import PluginError
    from genprob.plugins import catalogue
    from genprob_cli.render import stack, table

    found = catalogue()
    document = {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "module": plugin.module,
                "hooks": plugin.hooks,
                "specs": [c.spec.name for c in found.contributions if c.plugin == plugin],
            }
            for plugin in found.plugins
        ],
        "failures": [
            {
                "distribution": failure.distribution,
                "entry": failure.entry,
                "type": type(failure.error).__name__,
                "message": str(failure.error),
            }
            for failure in found.failures
        ],
        "disabled": found.disabled,
    }
    rows = [
        (p["name"], p["distribution"], p["version"], ", ".join(p["hooks"]), ", ".join(p["specs"]))
        for p in document["plugins"]
    ]
    view = stack(
        table(("plugin", "from", "version", "hooks", "offers"), rows),
        f"\nswitched off: {', '.join(found.disabled)}" if found.disabled else None,
        "\nfailed to load:" if found.failures else None,
        *(f"  {failure}" for failure in found.failures),
    )
    if strict and found.failures:
        names = ", ".join(f"{failure.distribution}:{failure.entry}" for failure in found.failures)
        return Answer(document, view, PluginError(f"failed to load: {names}"))
    return Answer(document, view)
