"""Pictures of a run: each kind where the model has it, and one clear line where it has not."""

import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    rows = np.random.default_rng(0).normal(size=(60, 2)).round(4)
    pd.DataFrame(rows, columns=["x", "y"]).to_csv(folder / "rows.csv", index=False)
    genprob.fit(folder / "rows.csv", "dae", out=folder / "dae", steps=2, hidden=(4,), schema={"x": "real", "y": "real"})
    genprob.fit(folder / "rows.csv", "mixture", out=folder / "mixture", components=1)
    return folder


def plotted(capsys, *words):
    code = app.run(["plot", *map(str, words), "--json"])
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    "words",
    [
        ("--kind", "neighbours", "--data", "rows.csv"),
        ("--kind", "film", "--given", "x=0.2"),
        ("--kind", "field", "--noise", "0.2"),
        ("--kind", "reconstruction", "--data", "rows.csv"),
        ("--kind", "history"),
    ],
)
def test_every_kind_is_drawn(folder, capsys, tmp_path, words, monkeypatch):
    monkeypatch.chdir(folder)
    out = tmp_path / "a.png"
    model = "mixture" if words[1] == "history" else "dae"
    code, (said, err) = plotted(capsys, folder / model, *words, "--out", out)
    assert code == 0, err
    assert json.loads(said)["picture"] == str(out) and out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("mixture", "--kind", "field"), "knows no score of its law; dae and score do"),
        (("mixture", "--kind", "film"), "no Markov chain of its own; dae, gsn"),
        (("mixture", "--kind", "reconstruction", "--data", "rows.csv"), "neither denoiser nor code; dae, gsn"),
        (("dae", "--kind", "neighbours"), "name the data with --data"),
        (
            ("dae", "--kind", "field", "--data", "rows.csv"),
            "--data is an option of --kind strip and arithmetic and neighbours",
        ),
        (("dae", "--kind", "pie"), "not one of a run's: history, strip"),
        (("rows.csv", "--kind", "film"), "drawn of a run"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(folder, capsys, words, why, monkeypatch):
    monkeypatch.chdir(folder)
    code, (_, err) = plotted(capsys, *words)
    assert code == 2 and why in " ".join(err.split()) and "Traceback" not in err
