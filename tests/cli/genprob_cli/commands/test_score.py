import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app
from genprob_energy.partitioned import Partitioned


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    rng = np.random.default_rng(0)
    pd.DataFrame({f"v{i}": rng.integers(0, 2, 40) for i in range(22)}).to_csv(folder / "rows.csv", index=False)
    genprob.fit(folder / "rows.csv", "rbm", out=folder / "run", hidden=21, steps=2, chains=32, temperatures=20)
    return folder


def score(capsys, *words):
    code = app.run(["score", *map(str, words)])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def test_the_error_of_the_partition_function_is_told_apart(machine, capsys):
    said = json.loads(score(capsys, machine / "run", machine / "rows.csv", "--json"))
    assert said["kind"] == "estimate" and said["log_partition_se"] > 0
    assert said["reliable"] == 1 and said["reasons"] == ""
    out = score(capsys, machine / "run", machine / "rows.csv")
    assert "that of the log-partition function" in out and "not reliable" not in out


def test_doubt_is_told_with_its_reason(machine, capsys, monkeypatch):
    monkeypatch.setattr(Partitioned, "doubt", lambda self: "log Z is unreliable: its two ends differ by 3.00 nats")
    out = score(capsys, machine / "run", machine / "rows.csv")
    assert "not reliable: log Z is unreliable: its two ends differ by 3.00 nats" in " ".join(out.split())
    said = json.loads(score(capsys, machine / "run", machine / "rows.csv", "--json"))
    assert said["reliable"] == 0 and said["reasons"].startswith("log Z is unreliable")
    given = json.loads(score(capsys, machine / "run", machine / "rows.csv", "--cond", "v1", "--json"))
    assert given["reliable"] == 1  # log Z cancels


def test_variables_that_the_rows_lack_are_named(tmp_path, capsys):
    genprob.fit({"x": [0.5, 1.25, 0.75, 1.5], "size": ["a", "b", "a", "b"]}, components=1, out=tmp_path / "run")
    pd.DataFrame({"x": [1.0, 2.0]}).to_csv(tmp_path / "rows.csv", index=False)
    assert "has no size" in score(capsys, tmp_path / "run", tmp_path / "rows.csv")
    assert json.loads(score(capsys, tmp_path / "run", tmp_path / "rows.csv", "--json"))["absent"] == ["size"]


@pytest.mark.parametrize(("model", "options"), [("gsn", {}), ("dae", {"form": "plain"}), ("gan", {"latent": 1})])
def test_where_there_is_no_law_the_refusal_names_what_there_is(tmp_path, capsys, model, options):
    rows = np.random.default_rng(0).normal(size=(30, 2)).round(4)
    pd.DataFrame(rows, columns=["x", "y"]).to_csv(tmp_path / "rows.csv", index=False)
    genprob.fit(
        tmp_path / "rows.csv",
        model,
        out=tmp_path / "run",
        steps=2,
        hidden=(4,),
        schema={"x": "real", "y": "real"},
        **options,
    )
    if model == "gan":  # its observation model is a law, and is named
        said = json.loads(score(capsys, tmp_path / "run", tmp_path / "rows.csv", "--json"))
        assert said["kind"] == "estimate" and said["law"] == "generator+noise"
        return
    assert app.run(["score", str(tmp_path / "run"), str(tmp_path / "rows.csv")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    for word in ("no log-probability", "two_sample", "energy_distance", "as mixture or anyorder"):
        assert word in error
    assert "Traceback" not in error
