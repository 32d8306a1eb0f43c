"""Every verb on a small table with holes, as a user types it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app

ROWS = 240


@dataclass
class Done:
    """What a command line left: exit code and both streams."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: object, **environment: str) -> Done:
    """Runs a command line in this process, as the console script does."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = app.run([str(word) for word in words])
    return Done(code, out.getvalue(), err.getvalue())


def document(*words: object) -> dict:
    """The one document of a command that must succeed."""
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def failure(*words: object) -> tuple[int, str]:
    """Exit code and message of a command that must fail: one line on stderr, and the same as a document."""
    done = run(*words, "--json")
    error = json.loads(done.stdout)["error"]
    last = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr and last == f"error: {error['message']}"
    assert done.returncode == error["exit_code"] != 0
    return done.returncode, error["message"]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """y = 2 x + noise; g says the sign of x; n counts; a tenth of the cells is blank."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    frame = pd.DataFrame(
        {
            "x": x.round(6),
            "y": (2 * x + 0.1 * rng.normal(size=ROWS)).round(6),
            "g": np.where(x > 0, "up, right", "down"),
            "n": rng.poisson(3, ROWS).astype(float),
        }
    )
    blank = rng.random(frame.shape) < 0.1
    blank[:, 0] &= ~blank[:, 1:].all(axis=1)
    path = tmp_path_factory.mktemp("data") / "table.csv"
    frame.mask(blank).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a"
    done = run("fit", table, "--out", folder, "--set", "components=2", "--seed", 1, "--steps", 40)
    assert done.returncode == 0, done.stderr
    assert f"run: {folder}" in done.stdout
    assert "step" in done.stderr  # plain lines of progress, since nobody watches
    return folder


def test_fit_says_what_it_did(table, tmp_path):
    said = document("fit", table, "--out", tmp_path / "b", "--model", "mixture", "--set", "components=1", "--steps", 5)
    assert (said["model"], said["rows"], said["variables"]) == ("mixture", ROWS, ["x", "y", "g", "n"])
    assert genprob.load(said["run"]).schema.names == ("x", "y", "g", "n")


def test_a_run_can_be_repeated_from_its_own_configuration(table, fitted, tmp_path):
    document("fit", table, "--out", tmp_path / "again", "--config", fitted / "config.json")
    first, second = genprob.load(fitted), genprob.load(tmp_path / "again")
    np.testing.assert_array_equal(first.sample(5)["x"], second.sample(5)["x"])


def test_an_edited_schema_is_obeyed(table, fitted, tmp_path):
    edited = tmp_path / "schema.toml"
    text = (fitted / "schema.toml").read_text()
    assert '"count"' in text
    edited.write_text(text.replace('support = "count"\nmeasure = "counting"', 'support = "real"'))
    document("fit", table, "--out", tmp_path / "b", "--schema", edited, "--set", "components=1", "--steps", 2)
    assert genprob.load(tmp_path / "b").schema["n"].support.kind == "real"


def test_query_answers_and_writes(fitted, tmp_path):
    out = tmp_path / "answer.nc"
    said = document("query", fitted, "--target", "y", "--given", "x=0.5", "--draws", 400, "--out", out)
    (row,) = said["marginals"]
    assert row["variable"] == "y" and abs(row["mean"] - 1.0) < 0.2
    for name in ("strategy", "guarantee", "law", "ess", "khat", "rhat", "reliable", "computation", "support"):
        assert name in said
    assert said["guarantee"] == "exact" and said["reliable"] in (0, 1)
    tree = genprob.open(out)
    assert tree["posterior"]["y"].size == 400
    assert tree.attrs["strategy"] == said["strategy"]


def test_the_same_seed_gives_the_same_answer(fitted):
    asked = ("query", fitted, "--target", "y", "--given", "x=0.1..0.9", "--seed", 3)
    first, second = document(*asked), document(*asked)
    assert first["marginals"] == second["marginals"]


def test_every_kind_of_evidence(fitted, tmp_path):
    file = tmp_path / "given.json"
    file.write_text('{"g": {"likelihood": {"down": 0.5, "up, right": 0.5}}, "n": {"one_of": [1, 2]}}')
    said = document("query", fitted, "--target", "y", "--given", "x=-1+-0.1", "--given-json", file)
    assert -2.6 < said["marginals"][0]["mean"] < -1.4
    said = document("query", fitted, "--target", "g", "--given", "x=0.5..", "--given", "n in 1,2,3")
    assert said["marginals"][0]["probabilities"][0][0] == "up, right"
    said = document("query", fitted, "--target", "x", "--given", 'g in "up, right"')
    assert said["marginals"][0]["q05"] > -0.6


def test_rows_with_holes_are_a_batch(table, fitted, tmp_path):
    holes = pd.read_csv(table).iloc[:7]
    holes["y"] = np.nan
    holes.to_csv(tmp_path / "holes.csv", index=False)
    out = tmp_path / "filled.nc"
    said = document("query", fitted, "--rows", tmp_path / "holes.csv", "--draws", 20, "--out", out)
    assert said["queries"] == 7
    assert dict(genprob.open(out)["posterior"].sizes)["query"] == 7
    shown = run("query", fitted, "--rows", tmp_path / "holes.csv", "--draws", 20)
    assert "5 of 7 queries are shown" in shown.stdout


def test_people_are_shown_tables_and_trust(fitted, tmp_path):
    done = run("query", fitted, "--target", "y", "--target", "g", "--given", "x=0.5")
    assert done.returncode == 0, done.stderr
    assert "reliable" in done.stdout and "log-evidence" in done.stdout and "up, right" in done.stdout


def test_strict_refuses_what_may_not_be_trusted(fitted):
    far = ("query", fitted, "--target", "y", "--given", "x=40", "--given", "g=down")
    assert document(*far)["reliable"] == 0
    done = run(*far, "--strict", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 8 and said["error"]["type"] == "UnreliableError"
    assert said["marginals"][0]["variable"] == "y"


def test_explain_lists_offers_and_refusals(fitted):
    offers = document("explain", fitted, "--target", "y", "--given", "x=0.5")["offers"]
    assert sum(offer["chosen"] for offer in offers) == 1
    assert {"strategy", "offered", "guarantee", "law", "limit", "cost", "reason", "chosen"} == set(offers[0])
    assert "closed-form" in run("explain", fitted, "--target", "y", "--given", "x=0.5").stdout


@pytest.mark.parametrize("name", ["draws.csv", "draws.parquet", "draws.nc"])
def test_sample_writes_each_format(fitted, tmp_path, name):
    out = tmp_path / name
    said = document("sample", fitted, "--draws", 30, "--out", out)
    assert said["variables"] == ["x", "y", "g", "n"]
    frame = (
        genprob.open(out).to_dataframe()
        if name.endswith("nc")
        else pd.read_csv(out)
        if name.endswith("csv")
        else pd.read_parquet(out)
    )
    assert len(frame) == 30 and set(frame["g"]) <= {"down", "up, right"}
    assert frame["n"].tolist() == genprob.load(fitted).sample(30)["n"].values.tolist()


def test_score_says_mean_error_kind_and_measure(table, fitted, tmp_path):
    out = tmp_path / "scores.csv"
    said = document("score", fitted, table, "--out", out)
    scores = pd.read_csv(out)
    assert len(scores) == said["rows"] == ROWS
    assert said["mean_log_prob"] == pytest.approx(scores["log_prob"].mean())
    assert said["kind"] == "exact" and said["measure"]["g"] == "counting"
    given = document("score", fitted, table, "--cond", "x,n")
    assert given["given"] == ["x", "n"] and "x" not in given["measure"]
    assert given["mean_log_prob"] > said["mean_log_prob"]


def test_show_an_answer_a_table_and_a_run(fitted, tmp_path):
    answer, draws = tmp_path / "answer.nc", tmp_path / "draws.nc"
    document("query", fitted, "--target", "y", "--given", "x=0.5", "--out", answer)
    document("sample", fitted, "--draws", 10, "--out", draws)
    assert document("show", answer)["marginals"][0]["variable"] == "y"
    assert "given x" in run("show", answer).stdout
    assert [row["variable"] for row in document("show", draws)["variables"]] == ["x", "y", "g", "n"]
    said = document("show", fitted)
    assert said["finished"] and said["config"]["model"] == "mixture"
    assert [v["name"] for v in said["variables"]] == ["x", "y", "g", "n"]
    assert "guessed" in run("show", fitted).stdout


def test_plot_an_answer_and_a_run(fitted, tmp_path):
    answer = tmp_path / "answer.nc"
    document("query", fitted, "--target", "x", "--target", "y", "--given", "g=down", "--out", answer)
    assert Path(document("plot", answer)["picture"]) == tmp_path / "answer.png"
    document("plot", answer, "--kind", "pairs", "--out", tmp_path / "pairs.svg")
    document("plot", fitted, "--out", tmp_path / "history.png")
    for name in ("answer.png", "pairs.svg", "history.png"):
        assert (tmp_path / name).stat().st_size > 1000
    assert failure("plot", answer, "--kind", "pie")[0] == 2


def test_models_and_plugins():
    assert "mixture" in [model["name"] for model in document("models")["models"]]
    said = document("models", "mixture")
    assert "components" in [option["name"] for option in said["options"]]
    assert all(option["doc"] for option in said["options"])
    assert "components" in run("models", "mixture").stdout
    assert document("plugins", "--strict")["failures"] == []
    assert run("models", GENPROB_PLUGINS="-mixture").stdout.count("mixture") == 0


class TestExitCodes:
    def test_usage(self, fitted, tmp_path):
        assert failure("query", fitted, "--target", "z", "--given", "x=1")[0] == 2
        assert failure("query", fitted, "--target", "x", "--given", "x=1")[0] == 2
        code, message = failure("query", fitted, "--target", "y", "--given", "g=upp")
        assert code == 2 and "is no label of 'g'" in message
        assert failure("query", fitted, "--target", "y", "--given", "x=1", "--given", "x=2")[0] == 2
        assert failure("query", fitted, "--rows", tmp_path / "r.csv", "--given", "x=1")[0] == 2
        assert failure("query", tmp_path / "absent", "--target", "y")[0] == 2
        assert failure("sample", fitted, "--draws", 3, "--out", tmp_path / "draws.xlsx")[0] == 2
        assert failure("models", "mixtur")[0] == 2
        assert failure("score", fitted, tmp_path / "x.csv", "--cond", "q")[0] in (2, 3)

    def test_usage_of_fit(self, table, fitted, tmp_path):
        code, message = failure("fit", table, "--out", tmp_path / "r", "--set", "componets=3")
        assert code == 2 and "did you mean 'components'" in message
        assert failure("fit", table, "--out", tmp_path / "r", "--set", "components=many")[0] == 2
        code, message = failure("fit", table, "--out", tmp_path / "r", "--set", "inference.tolerance=x")
        assert code == 2 and "tolerance" in message
        assert failure("fit", table, "--out", tmp_path / "r", "--inference", "nuts")[0] == 2
        assert failure("fit", table, "--out", tmp_path / "r", "--model", "mixtur")[0] == 2
        assert failure("fit", table, "--out", fitted)[0] == 2
        assert not (tmp_path / "r").exists()

    def test_data(self, tmp_path):
        code, message = failure("fit", tmp_path / "absent.csv", "--out", tmp_path / "r")
        assert code == 3 and "absent.csv" in message
        (tmp_path / "empty.csv").write_text("")
        assert failure("fit", tmp_path / "empty.csv", "--out", tmp_path / "r")[0] == 3
        assert failure("show", tmp_path / "absent.nc")[0] == 3

    def test_corrupt(self, fitted, tmp_path):
        answer = tmp_path / "answer.nc"
        document("query", fitted, "--target", "y", "--given", "x=0.5", "--out", answer)
        data = bytearray(answer.read_bytes())
        data[len(data) // 2] ^= 1
        answer.write_bytes(data)
        code, message = failure("show", answer)
        assert code == 4 and "answer.nc" in message
        broken = tmp_path / "broken"
        shutil.copytree(fitted, broken)
        (broken / "config.json").write_text("{}")
        assert failure("query", broken, "--target", "y")[0] == 4

    def test_busy(self, table, fitted, tmp_path):
        from genprob.engine.run import Run

        busy = tmp_path / "busy"
        shutil.copytree(fitted, busy)
        with Run.open(busy).lock():
            assert failure("fit", table, "--out", busy, "--resume")[0] == 5

    def test_plugin(self, fitted):
        done = run("query", fitted, "--target", "y", "--json", GENPROB_PLUGINS="-mixture")
        assert done.returncode in (2, 6) and "mixture" in done.stderr

    def test_resources(self, fitted):
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("needs /dev/full")
        command = [sys.executable, "-c", "from genprob_cli.app import main; main()", "models"]
        with full.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 9 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_fit_saves_and_resumes(table, tmp_path, number, code):
    folder = tmp_path / "r"
    command = [sys.executable, "-c", "from genprob_cli.app import main; main()", "fit", table, "--out", folder]
    command += ["--set", "components=3", "--set", "inference.tolerance=0", "--steps", "1000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not (folder / "events.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "--resume" in err.strip().splitlines()[-1] and "Traceback" not in err
    stopped = document("show", folder)
    assert not stopped["finished"] and stopped["step"] > 0
    said = document("fit", table, "--out", folder, "--resume", "--steps", stopped["step"] + 2)
    assert said["step"] >= stopped["step"]
    assert document("show", folder)["finished"]


def test_demo_explains_itself(tmp_path):
    done = run("demo", "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    for words in (
        "Question 1",
        "Question 4: fill the holes",
        "progression=250..",
        "glu=120+-10",
        "reliable",
        "Next: genprob fit",
    ):
        assert words in done.stdout
    assert {p.name for p in (tmp_path / "demo").iterdir()} >= {"run", "forward.nc", "backward.nc", "filled.nc"}
    said = document("demo", "--out", tmp_path / "demo")  # a second time it uses the run that is there
    assert set(said["answers"]) == {"forward", "backward, from a range", "from a noisy reading", "filled holes"}


def test_an_id_column_is_left_out_by_a_word(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,x,n\n" + "".join(f"key{i},{i % 7}.5,{i % 3}\n" for i in range(80)))
    few = ("--set", "components=1")
    code, message = failure("fit", table, "--out", tmp_path / "a")
    assert code == 3
    assert "--ignore 'id'" in message
    assert document("fit", table, "--out", tmp_path / "a", "--ignore", "id", *few)["variables"] == ["x", "n"]
    schema = tmp_path / "s.toml"
    schema.write_text('[variable.id]\nrole = "ignored"\n')  # a file speaks of what it names; the rest is guessed
    assert document("fit", table, "--out", tmp_path / "b", "--schema", schema, *few)["variables"] == ["x", "n"]
    both = ("--schema", schema, "--ignore", "x")
    assert document("fit", table, "--out", tmp_path / "c", *both, *few)["variables"] == ["n"]
    code, message = failure("fit", table, "--out", tmp_path / "d", *both, "--ignore", "n")
    assert code == 2
    assert "every variable is ignored" in message


def test_an_answer_is_written_under_no_other_name(tmp_path):
    code, message = failure("query", tmp_path, "--target", "x", "--out", tmp_path / "filled.csv")
    assert code == 2
    assert "must end in .nc" in message
