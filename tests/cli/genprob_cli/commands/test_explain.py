"""`genprob explain`: the offers first, the refusals when they are asked for."""

import json

import pytest

import genprob
from genprob_cli import app


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "run"
    genprob.fit({"x": [0.5, 1.25, 0.75, 1.5], "g": ["a", "b", "a", "b"]}, components=1, out=folder)
    return str(folder)


def said(capsys, *words: str) -> str:
    assert app.run(list(words)) == 0
    return capsys.readouterr().out


def test_refusals_are_counted_and_listed_on_demand(run, capsys):
    question = ("explain", run, "--target", "x", "--given", "g=a")
    brief, whole = said(capsys, *question), said(capsys, *question, "--all")
    offers = json.loads(said(capsys, *question, "--json"))["offers"]
    refused = [offer["strategy"] for offer in offers if not offer["offered"]]
    assert refused
    assert f"{len(refused)} other strategies refuse; --all" in brief
    listed, everything = ({line.split()[0] for line in text.splitlines() if line} for text in (brief, whole))
    assert not listed & set(refused)
    assert set(refused) <= everything
    assert "other strategies" not in whole
