"""Probability, influence and surprise from the command line."""

import json

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob_cli import app


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A run on y = 2 x + noise with a label that follows x, and rows of which one is odd."""
    folder = tmp_path_factory.mktemp("questions")
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "y": 2 * x + 0.3 * rng.normal(size=300), "g": np.where(x > 0, "up", "down")})
    frame.to_csv(folder / "train.csv", index=False)
    odd = frame.iloc[:20].copy()
    odd.loc[7, "y"] = odd.loc[7, "y"] + 6
    odd.to_csv(folder / "rows.csv", index=False)
    genprob.fit(folder / "train.csv", out=folder / "run", components=2, steps=30)
    return folder


def document(capsys, *words) -> dict:
    code = app.run([*(str(word) for word in words), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def test_the_probability_of_an_event_and_of_its_complement_add_to_one(places, capsys):
    both = [
        document(capsys, "probability", places / "run", "--event", f"y={event}", "--given", "x=0.5")
        for event in ("..1.2", "1.2..")
    ]
    assert sum(found["probability"] for found in both) == pytest.approx(1.0, abs=1e-6)
    assert both[0]["guarantee"] == "exact" and both[0]["event"] == "y ..1.2"


def test_an_event_that_is_given_exits_with_two(places, capsys):
    code = app.run(["probability", str(places / "run"), "--event", "x=..1", "--given", "x=0.5"])
    assert code == 2 and "name it once" in capsys.readouterr().err


def test_influence_names_what_moved_the_target_first(places, capsys):
    found = document(capsys, "influence", places / "run", "--target", "y", "--given", "x=1.5", "--given", "g=up")
    assert [row["evidence"] for row in found["influence"]] == ["x", "g"]
    assert found["influence"][0]["change"] > 0.5 and abs(found["influence"][1]["change"]) < 0.2


def test_influence_without_a_target_exits_with_two(places, capsys):
    assert app.run(["influence", str(places / "run"), "--given", "x=1.5"]) == 2
    assert "--target" in capsys.readouterr().err


def test_the_odd_row_comes_first_and_all_cells_are_written(places, capsys):
    found = document(capsys, "surprise", places / "run", places / "rows.csv", "--out", places / "odd.nc", "--top", 3)
    assert len(found["cells"]) == 3 and found["cells"][0]["excess"] > 20
    first = found["cells"][0]
    assert first["variable"] in ("x", "y") and first["rank"] == 1.0 and next(iter(first.values())) in (7, 8)
    assert genprob.open(places / "odd.nc")["surprise"].shape == (20, 3)
