from __future__ import annotations

import importlib.util
from pathlib import Path

from genprob_cli import app

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("genprob_docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_the_command_line_is_current():
    assert (DOCS / "reference" / "cli.md").read_text(encoding="utf-8") == generator().cli(), "run make docs"


def test_every_option_is_documented():
    page = generator().cli()
    for name in app.verbs():
        assert f"## genprob {name}" in page
    for option in ("--given-json", "--rows", "--strict", "--resume", "--config", "--cond", "--kind"):
        assert f"`{option}`" in page
