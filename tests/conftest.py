"""What every test shares."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import hypothesis
import pytest

# Test processes run side by side; two threads each on two cores collapse.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples at every run, and no deadline: a change is what makes a test fail, not the day or a busy machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


class Site:
    """A folder on sys.path with distributions that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, entry: str, source: str, group: str = "genprob") -> None:
        """A distribution with one module behind one entry point."""
        stem = distribution.replace("-", "_")
        module = f"{stem}_{entry}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(module, None)
        info = self.folder / f"{stem}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        with (info / "entry_points.txt").open("a") as file:
            file.write(f"[{group}]\n{entry} = {module}{'' if group == 'genprob' else f':{entry}'}\n")

    def model(self, distribution: str, entry: str, name: str, factory: str = "json:dumps") -> None:
        """A distribution that offers one model."""
        self.install(
            distribution,
            entry,
            f"""
            from genprob.spec import ModelSpec

            def genprob_models():
                return [ModelSpec({name!r}, {factory!r}, "a model", ("ml",))]
            """,
        )


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Distributions that exist for one test."""
    from genprob import plugins

    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("GENPROB_PLUGINS", raising=False)
    plugins._load.cache_clear()
    before = set(sys.modules)
    yield Site(folder)
    plugins._load.cache_clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
