"""Fits that name no model: the better of two on held-out rows is kept, and the run says why."""

import numpy as np
import pytest

import genprob
from genprob import choice, fitting, training
from genprob.contest import Contest
from genprob.results.file import open as open_result
from genprob_autoregressive.anyorder import ResidualAnyOrder

ROWS = 120


@pytest.fixture
def small(monkeypatch):
    """Tables of 100 rows count as large, and the network takes few steps."""
    monkeypatch.setattr(choice, "LEAST_ROWS", 100)
    recipe = {"ml": {"steps": 12, "batch_size": 64, "holdout": 0.2, "lr": 1e-3}}
    monkeypatch.setattr(ResidualAnyOrder, "recipe", recipe)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    return {"x": x, "y": 2 * x + 0.3 * rng.normal(size=ROWS), "g": np.where(x > 0, "up", "down")}


@pytest.fixture
def outcome(monkeypatch):
    """Makes either model win, whatever the scores."""

    def lean(winner: str) -> None:
        gap = 1.0 if winner == "anyorder" else -1.0
        of = Contest._of_scores
        monkeypatch.setattr(
            Contest, "_of_scores", classmethod(lambda cls, models, ours, theirs: of(models, theirs + gap, theirs))
        )

    return lean


@pytest.mark.parametrize("winner", ["anyorder", "mixture"])
def test_the_better_is_kept_and_both_scores_with_it(small, rows, outcome, winner, tmp_path):
    outcome(winner)
    told: list[str] = []
    joint = genprob.fit(rows, out=tmp_path / "run", progress=lambda e: told.append(e.get("message", "")))
    run = joint.run
    assert run is not None
    run.verify()
    config = run.config
    assert config["model"] == winner == config["choice"]["kept"]
    assert set(config["choice"]["held_out"]) == {"anyorder", "mixture"}
    assert config["rows"] == ROWS
    said = [line for line in told if f"{winner} is kept" in line]
    assert len(said) == 1 and said[0] in joint.notes
    assert any(line.startswith("model anyorder, against mixture: 120 rows") for line in told)
    history = open_result(run.path / "fit.nc")
    assert history.attrs["choice"] == said[0]
    assert history.attrs["held_out_mixture"] == pytest.approx(config["choice"]["held_out"]["mixture"])
    assert joint.query("y", {"x": 0.5}, draws=10).attrs["reliable"] in (0, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_they_are_compared_on_rows_that_neither_learned_from(small, rows, monkeypatch):
    seen = {}

    def learn(request, table, *args, **kwargs):
        seen[request.model, len(table)] = table.values
        return learned(request, table, *args, **kwargs)

    def of(cls, joints, held, seed):
        seen["held"] = np.asarray(held["x"].values)
        return compared(joints, held, seed)

    learned, compared = fitting._learn, Contest.of
    monkeypatch.setattr(fitting, "_learn", learn)
    monkeypatch.setattr(Contest, "of", classmethod(of))
    genprob.fit(rows)
    rival = seen["mixture", ROWS - len(seen["held"])][:, 0]
    assert len(seen["held"]) == int(0.2 * ROWS)
    assert not set(rival) & set(seen["held"])
    assert sorted([*rival, *seen["held"]]) == sorted(rows["x"])


def test_the_network_was_not_shown_the_rows_of_the_comparison(small, rows, monkeypatch, tmp_path):
    shown = []

    def prepare(self, batch, *, seed):
        shown.append(batch.values[:, 0].cpu().numpy())
        return prepared(self, batch, seed=seed)

    def of(cls, joints, held, seed):
        shown.append(np.asarray(held["x"].values))
        return compared(joints, held, seed)

    prepared, compared = ResidualAnyOrder.prepare, Contest.of
    monkeypatch.setattr(ResidualAnyOrder, "prepare", prepare)
    monkeypatch.setattr(Contest, "of", classmethod(of))
    genprob.fit(rows, out=tmp_path / "run")
    learned, held = shown
    assert not set(learned) & set(held) and len(learned) + len(held) == ROWS


def test_a_small_table_is_not_compared(rows, tmp_path):
    joint = genprob.fit(rows, out=tmp_path / "run")
    assert joint.run is not None
    assert joint.run.config["choice"] == {"why": "model mixture: 120 rows are few", "rival": None}
    assert "model mixture: 120 rows are few" in joint.notes


@pytest.mark.parametrize("said", [{"model": "mixture"}, {"components": 2}, {"steps": 3}, {"inference": "em"}])
def test_what_is_said_is_not_chosen(small, rows, said, tmp_path):
    joint = genprob.fit(rows, out=tmp_path / "run", **said)
    assert joint.run is not None and joint.run.config["model"] == "mixture" and "choice" not in joint.run.config


@pytest.mark.parametrize("moment", ["fit", "comparison"])
def test_an_interrupted_choice_is_finished_on_resume(small, rows, moment, tmp_path, monkeypatch):
    whole = genprob.fit(rows, out=tmp_path / "whole")
    monkeypatch.setattr(training, "_PROGRESS_SECONDS", 0.0)

    def stop(event):
        if (moment == "fit" and event.get("step") == 5) or ("comparing" in event.get("message", "")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="--resume"):
        genprob.fit(rows, out=tmp_path / "run", progress=stop)
    joint = genprob.fit(rows, out=tmp_path / "run", resume=True)
    assert joint.run is not None and whole.run is not None
    assert joint.run.config["choice"] == whole.run.config["choice"]
    np.testing.assert_array_equal(joint.log_prob(rows)["log_prob"], whole.log_prob(rows)["log_prob"])
