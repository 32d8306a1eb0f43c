import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    cluster = rng.integers(2, size=300)
    x = np.where(cluster, 4.0, -4.0) + rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "y": np.where(cluster, 1, -1) * x + 0.3 * rng.normal(size=300)})
    frame[:200].to_csv(folder / "train.csv", index=False)
    frame[200:].to_csv(folder / "held-out.csv", index=False)
    for k, name in ((2, "many"), (1, "one")):
        genprob.fit(folder / "train.csv", out=folder / name, components=k, steps=20)
    genprob.fit(frame[["x"]], out=folder / "other", components=1)
    return folder


def run(capsys, *words):
    code = app.run([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_table_says_which_is_best_and_by_how_much(places, capsys):
    code, out, _ = run(
        capsys, "compare", places / "many", places / "one", "--data", places / "held-out.csv", "--set", "rows=60",
        "--resamples", 200,
    )  # fmt: skip
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("log_likelihood") and "one" in line)
    assert " to " in line and "nats per row" in line and "higher" in line
    assert "best" in out and "95 % interval" in out and "paired bootstrap" in out


def test_one_document_and_files(places, capsys, tmp_path):
    many, one = str(places / "many"), str(places / "one")
    code, out, err = run(
        capsys, "compare", many, one, "--data", places / "held-out.csv", "--metric", "log_likelihood", "--level", 0.8,
        "--figure", tmp_path / "d.svg", "--out", tmp_path / "c.nc", "--seed", 1, "--json",
    )  # fmt: skip
    assert code == 0, err
    said = json.loads(out)
    rows = {row["joint"]: row for row in said["scores"]}
    assert rows[one]["best"] == many and rows[one]["low"] < rows[one]["difference"] < rows[one]["high"] < 0
    assert said["level"] == 0.8 and (tmp_path / "d.svg").exists()
    assert genprob.open(tmp_path / "c.nc")["log_likelihood"]["joint"].values.tolist() == [many, one]


@pytest.mark.parametrize(
    "runs, words, message",
    [
        (["many"], [], "two joints"),
        (["many", "many"], [], "given twice"),
        (["many", "other"], [], "'y' is in"),
        (["many", "one"], ["--level", "1.5"], "level"),
        (["many", "one"], ["--figure", "d.jpg"], ".png"),
        (["many", "one"], ["--train", "t.csv", "--metric", "log_likelihood"], "'train'"),
    ],
)
def test_refusals_exit_with_2(places, capsys, runs, words, message):
    places_of_runs = [places / run for run in runs]
    few = ["--set", "masked.rows=20"]
    code, _, err = run(capsys, "compare", *places_of_runs, "--data", places / "held-out.csv", *few, *words)
    assert code == 2 and (message in err or "not evaluated" in err)
