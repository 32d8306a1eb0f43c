"""What `genprob fit` says when it is done."""

import json

import numpy as np
import pandas as pd

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
    events = genprob.load(tmp_path / "run").run.events()
    (kept,) = [event for event in events if event["step"] == said["step"]]
    assert said["step"] < events[-1]["step"]
    assert said["metrics"]["held_out"] == kept["held_out"] == max(e["held_out"] for e in events if "held_out" in e)
