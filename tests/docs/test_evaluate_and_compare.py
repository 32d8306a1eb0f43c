"""The how-to names every metric with all its options, and its example of a metric works."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

import genprob
from genprob import plugins
from genprob.options import options
from genprob_metrics.hooks import genprob_metrics

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "evaluate-and-compare.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("spec", list(genprob_metrics()), ids=lambda spec: spec.name)
def test_the_table_names_every_option(spec):
    named = set(re.findall(r"`(\w+)`", ROWS[spec.name].rsplit("|", 2)[1])) - {"boosting", "lightgbm"}
    assert named == {option.name for option in options(plugins.resolve(spec.factory))}


def test_it_names_no_metric_that_is_not_there():
    assert set(ROWS) == {spec.name for spec in genprob_metrics()}


def test_the_example_of_a_metric_works(monkeypatch):
    source = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[-1]
    module = types.ModuleType("surprise_metric")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "evaluate-and-compare.md", "exec"), module.__dict__)
    (spec,) = module.__dict__["genprob_metrics"]()
    metric = plugins.resolve(spec.factory)(below=0.0)
    rows = {"g": ["a", "b", "a", "b"]}
    (score,) = metric(genprob.fit(rows, components=1), rows).scores
    assert float(score.value) == 1.0


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (Path(__file__).parents[2] / "docs" / "how-to" / link).exists(), link
