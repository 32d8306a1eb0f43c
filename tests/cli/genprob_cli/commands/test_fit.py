"""What `genprob fit` says when it is done."""

import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app


def test_the_metrics_that_are_told_are_those_of_the_step_that_is_kept(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    pd.DataFrame({"x": x, "y": x + rng.normal(size=60)}).to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run"), "--inference", "elbo", "--steps", "60"]
    settings = ["components=2", "inference.evaluate_every=5", "inference.lr=0.3", "inference.holdout=0.3"]
    assert app.run([*words, *(word for s in settings for word in ("--set", s)), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    kept_in = genprob.load(tmp_path / "run").run
    assert kept_in is not None
    events = kept_in.events()
    (kept,) = [event for event in events if event["step"] == said["step"]]
    assert said["step"] < events[-1]["step"]
    assert said["metrics"]["held_out"] == kept["held_out"] == max(e["held_out"] for e in events if "held_out" in e)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": rng.integers(2, 9, 40), "x": rng.normal(size=40).round(2), "same": "k"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def run(capsys, *words):
    code = app.run([str(word) for word in words])
    return code, capsys.readouterr()


def test_a_support_is_stated_in_a_word(table, tmp_path, capsys):
    code, said = run(capsys, "fit", table, "--out", tmp_path / "a", "--support", "n=count", "--set", "components=1",
                     "--support", "x=interval(-9, 9)", "--ignore", "same")  # fmt: skip
    assert code == 0, said.err
    schema = genprob.load(tmp_path / "a").schema
    assert schema["n"].is_count
    assert schema["x"].support.text() == "interval(-9.0, 9.0)"
    assert schema.modelled.names == ("n", "x")


def test_a_word_on_a_variable_overrules_the_file(table, tmp_path, capsys):
    (tmp_path / "s.toml").write_text('[variable.n]\nsupport = "real"\n')
    words = ["fit", table, "--set", "components=1", "--schema", tmp_path / "s.toml"]
    assert run(capsys, *words, "--out", tmp_path / "a")[0] == 0
    assert run(capsys, *words, "--out", tmp_path / "b", "--support", "n=count")[0] == 0
    assert [genprob.load(tmp_path / name).schema["n"].support.kind for name in "ab"] == ["real", "count"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--support", "n"), "--support 'n': expected NAME=SUPPORT"),
        (("--support", "n=whole"), "variable 'n': support 'whole' is not one of"),
        (("--support", "m=count"), "no variable 'm'"),
        (("--set", "component=3"), "model 'mixture' has no option 'component'; did you mean 'components'?"),
        (("--inference", "em", "--set", "inference.tol=3"), "inference 'em' has no option 'tol'"),
    ],
)
def test_words_that_cannot_be_meant_are_named_as_they_were_typed(table, tmp_path, capsys, words, message):
    code, said = run(capsys, "fit", table, "--out", tmp_path / "a", *words)
    assert code in (2, 3)
    assert message in said.err
    assert "genprob_" not in said.err and "genprob." not in said.err


@pytest.mark.parametrize(("rows", "words", "message"), [(40, ("--steps", "0"), "steps=0"), (1, (), "1 row")])
def test_what_is_hardly_meant_is_said(table, tmp_path, capsys, rows, words, message):
    pd.read_csv(table).head(rows).to_csv(table, index=False)
    code, said = run(capsys, "fit", table, "--out", tmp_path / "a", "--set", "components=1", *words)
    assert code == 0
    assert message in said.err
    assert any(message in note for note in genprob.load(tmp_path / "a").notes)


def test_the_question_that_is_proposed_is_of_a_variable_that_varies(table, tmp_path, capsys):
    _, said = run(capsys, "fit", table, "--out", tmp_path / "a", "--set", "components=1")
    assert "--target x" in said.out
    code, said = run(capsys, "query", tmp_path / "a", "--target", "x", "--given", "same=z")
    assert code == 2
    assert said.err.rstrip().endswith("expected e.g. same=k")
