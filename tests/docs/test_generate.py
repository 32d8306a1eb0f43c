from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from genprob import hookspecs
from genprob_cli import app

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("genprob_docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "hooks.md"])
def test_the_reference_is_current(page):
    made = generator().PAGES[page]()
    assert (DOCS / "reference" / page).read_text(encoding="utf-8") == made, "run make docs"


def test_every_hook_is_on_the_menu():
    page = generator().hooks()
    for name in vars(hookspecs):
        if name.startswith("genprob_"):
            assert f"`{name}(" in page


def test_every_option_is_documented():
    page = generator().cli()
    for name in app.verbs():
        assert f"## genprob {name}" in page
    for option in ("--given-json", "--rows", "--strict", "--resume", "--config", "--cond", "--kind"):
        assert f"`{option}`" in page
