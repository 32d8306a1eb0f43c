import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A run, its training rows and rows held out."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)

    def table(n, name):
        x = rng.normal(size=n)
        frame = pd.DataFrame({"x": x, "y": 2 * x + 0.3 * rng.normal(size=n), "g": np.where(x > 0, "up", "down")})
        frame.to_csv(folder / name, index=False)

    table(200, "train.csv")
    table(120, "held-out.csv")
    for k, name in ((2, "a"), (1, "b")):
        genprob.fit(folder / "train.csv", out=folder / name, components=k, steps=15)
    return folder


def run(capsys, *words):
    code = app.run([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_table_says_units_and_directions(places, capsys):
    code, out, _ = run(
        capsys, "evaluate", places / "a", places / "held-out.csv", "--set", "rows=60", "--set", "draws=20"
    )
    assert code == 0
    for word in ("log_likelihood", "nats per row", "higher", "sd of the data", "lower", "near 0.8", "all but one cell"):
        assert word in out
    assert "per variable" in out and "relative to x: lebesgue" in out


def test_one_document(places, capsys, tmp_path):
    code, out, err = run(
        capsys, "evaluate", places / "a", places / "held-out.csv", "--metric", "masked", "--metric", "two_sample",
        "--set", "masked.draws=12", "--set", "masked.shares=0.5,1", "--seed", 3, "--out", tmp_path / "s.nc", "--json",
    )  # fmt: skip
    assert code == 0, err
    said = json.loads(out)
    assert said["metrics"]["masked"]["settings"]["draws"] == 12 and said["metrics"]["masked"]["settings"]["seed"] == 3
    assert {row["metric"] for row in said["scores"]} == {"masked", "two_sample"}
    shares = [row["where"]["share"] for row in said["scores"] if row["score"] == "crps_by_share"]
    assert shares == [0.5, 1.0] and said["out"] == str(tmp_path / "s.nc")
    stored = genprob.open(tmp_path / "s.nc")["masked"]
    crps = next(row for row in said["scores"] if row["score"] == "crps")
    assert crps["value"] == float(stored["crps"]) and crps["better"] == "lower"


def test_training_rows(places, capsys):
    words = ["evaluate", places / "a", places / "held-out.csv", "--metric", "memorisation", "--json"]
    code, _, err = run(capsys, *words)
    assert code == 2 and "--train DATA" in err
    code, out, _ = run(capsys, *words, "--train", places / "train.csv")
    assert code == 0
    assert {row["score"] for row in json.loads(out)["scores"]} == {"nearer", "p_value", "copies"}


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["--metric", "maskd"], 2, "did you mean 'masked'"),
        (["--set", "draws"], 2, "OPTION=VALUE"),
        (["--set", "drws=3"], 2, "did you mean 'draws'"),
        (["--set", "masked.draws=x"], 2, "expected int"),
        (["--metric", "log_likelihood", "--train", "t.csv"], 2, "'train'"),
        (["--metric", "memorisation", "--train", "nowhere.csv"], 3, "nowhere.csv"),
    ],
)
def test_errors_have_their_exit_codes(places, capsys, words, code, message):
    found, _, err = run(capsys, "evaluate", places / "a", places / "held-out.csv", *words)
    assert found == code and message in err and err.count("\n") == 1


def test_unfit_data_and_missing_runs(places, capsys, tmp_path):
    (tmp_path / "bad.csv").write_text("x,y,g\n1,2,sideways\n")
    code, _, err = run(capsys, "evaluate", places / "a", tmp_path / "bad.csv")
    assert code == 3 and "sideways" in err
    assert run(capsys, "evaluate", places / "nothing", places / "held-out.csv")[0] == 2


def test_help_has_examples(capsys):
    code, out, _ = run(capsys, "evaluate", "--help")
    assert code == 0 and "--metric specialist_gap" in out and "--train" in out
