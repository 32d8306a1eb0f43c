"""`genprob query`, `explain` and `show` of parameters and latents."""

import json

import numpy as np
import pyro
import pyro.distributions as dist
import pytest

import genprob
from genprob_cli import app


class Mean(genprob.Model):
    """An unknown mean, and an offset of each row."""

    def model(self, batch):
        mu = pyro.sample("mu", dist.Normal(0.0, 2.0))
        with batch.plate():
            offset = pyro.sample("offset", dist.Normal(0.0, 0.5))
            pyro.sample("x", dist.Normal(mu + offset, 0.5), obs=batch["x"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("query") / "run"
    x = np.random.default_rng(0).normal(1.0, 1.0, 6)
    method = {"name": "nuts", "warmup": 80, "chains": 8}
    genprob.fit({"x": x}, Mean, out=folder, inference=method, schema={"x": "real"}, steps=280)
    return str(folder)


def said(capsys, *words: str) -> str:
    assert app.run(list(words)) == 0
    return capsys.readouterr().out


def test_parameters_and_latents_are_asked_from_the_command_line(run, capsys, tmp_path):
    found = json.loads(said(capsys, "query", run, "--target", "mu", "--given", "x=2.0", "--json"))
    assert found["strategy"] == "posterior" and found["law"] == "posterior predictive"
    out = tmp_path / "answer.nc"
    said(capsys, "query", run, "--target", "offset", "--given", "mu=0..", "--given", "x=1.0", "--out", str(out))
    answer = genprob.open(out)
    assert answer["posterior"]["offset"].shape == (1, 1000)
    assert "offset" in said(capsys, "show", str(out))
    assert "posterior" in said(capsys, "explain", run, "--target", "mu", "--given", "offset=0.2")
    assert 0 < json.loads(said(capsys, "probability", run, "--event", "mu=0..", "--json"))["probability"] <= 1


def test_a_run_shows_what_it_knows_of_unknowns(run, capsys):
    text, document = said(capsys, "show", run), json.loads(said(capsys, "show", run, "--json"))
    assert "parameter" in text and "latent" in text
    rows = {row["name"]: row for row in document["posterior"]}
    assert rows["mu"]["role"] == "parameter" and rows["mu"]["sd"] > 0 and rows["offset"]["dims"] == "row"


def test_a_value_of_a_parameter_is_refused(run, capsys):
    assert app.run(["query", run, "--target", "x", "--given", "mu=1.0"]) == 2
    assert "'mu' is a parameter, known by draws" in capsys.readouterr().err
