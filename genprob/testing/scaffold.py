"""A new plugin: an installable project with light hooks, a model and a test, which passes as written."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from genprob.errors import UsageError

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "A model family for genprob"
requires-python = ">=3.11"
dependencies = ["genprob"]

[project.entry-points.genprob]
{name} = "{package}.hooks"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""
_INIT = '''\
"""A model family for genprob."""
'''
_HOOKS = '''\
"""What this plugin contributes; imports no torch."""

from genprob.hookspecs import hookimpl
from genprob.spec import ModelSpec


@hookimpl
def genprob_models():
    yield ModelSpec(
        name="{name}",
        factory="{package}.model:{model}",
        summary="linear factor analysis",
        inferences=("elbo",),
    )
'''
_MODEL = '''\
"""The model: change it into yours."""

import genprob
import pyro
from pyro.distributions import Normal
from torch import nn


class {model}(genprob.Model):
    """Every variable depends linearly on a few latent numbers.

    Arguments:
        latent: how many latent numbers a row has.
    """

    def __init__(self, schema, *, latent: int = 2):
        super().__init__(schema)
        self.latent = latent
        self.decoder = nn.Linear(latent, self.emission_width)
        self.encoder = nn.Linear(self.feature_width, 2 * latent)

    def model(self, batch):
        with batch.plate():
            code = pyro.sample("code", Normal(0.0, 1.0).expand([self.latent]).to_event(1))
            self.emit(self.decoder(code), batch)

    def guide(self, batch):
        loc, log_scale = self.encoder(self.features(batch)).chunk(2, -1)
        with batch.plate():
            pyro.sample("code", Normal(loc, log_scale.exp()).to_event(1))
'''
_TEST = '''\
"""The contract that every model is held to."""

import genprob.testing
from {package}.model import {model}


def test_the_model_keeps_the_contract():
    report = genprob.testing.check({model})
    assert report.ok, report
'''


def scaffold(name: str, folder: str | Path = ".") -> Path:
    """Writes the project `genprob-NAME` into `folder` and returns its path.

    Raises `UsageError` for a name that is no Python name, and where the project exists.
    """
    word = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", word) or keyword.iskeyword(word):
        raise UsageError(f"plugin name {name!r}: use small letters, digits and dashes, a letter first")
    distribution, package = f"genprob-{name.replace('_', '-')}", f"genprob_{word}"
    model = "".join(part.capitalize() for part in word.split("_"))
    root = Path(folder) / distribution
    if root.exists():
        raise UsageError(f"{root} exists; choose another name or --path")
    files = {
        "pyproject.toml": _PYPROJECT,
        f"{package}/__init__.py": _INIT,
        f"{package}/hooks.py": _HOOKS,
        f"{package}/model.py": _MODEL,
        "tests/test_model.py": _TEST,
    }
    for path, template in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = template.format(name=name, package=package, model=model, distribution=distribution)
        target.write_text(text, encoding="utf-8")
    return root
