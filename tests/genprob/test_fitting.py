"""Fitting end to end: from any source of data to a run that holds a joint."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import genprob
from genprob import training
from genprob.data.schema_file import to_toml
from genprob.engine import history
from genprob.engine.run import Run
from genprob.errors import DataError, Diverged, PluginError, UsageError
from genprob_mixture.mixture import Mixture

EM = {"components": 2, "steps": 8}
ELBO = {"components": 2, "inference": {"name": "elbo", "holdout": 0.2, "evaluate_every": 5, "batch_size": 32}}


@pytest.fixture
def told(monkeypatch):
    """Every step is told."""
    monkeypatch.setattr(training, "_PROGRESS_SECONDS", 0.0)


def scores(joint, table):
    return joint.log_prob(table)["log_prob"].values


# --- sources


def test_every_source_of_the_same_data_gives_the_same_joint(table, schema, tmp_path):
    frame = pd.DataFrame(table)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    ds = genprob.read(table)
    wanted = None
    for data in (table, frame, ds, tmp_path / "t.csv", str(tmp_path / "t.csv"), tmp_path / "t.parquet"):
        joint = genprob.fit(data, schema=schema, **EM)
        found = scores(joint, table)
        wanted = found if wanted is None else wanted
        np.testing.assert_array_equal(found, wanted)
    assert joint.rows == len(frame) and joint.schema.names == ("x", "y", "g", "n")


def test_a_named_data_set():
    joint = genprob.fit("demo", components=1, steps=1)
    assert len(joint.schema) > 2 and joint.run.finished


def test_the_fit_learns_the_law(table, schema):
    """Two clusters, known by construction: better than one component, and its draws look like the data."""
    one, two = (genprob.fit(table, schema=schema, components=k, steps=60) for k in (1, 2))
    assert scores(two, table).mean() > scores(one, table).mean() + 0.2
    draws = two.sample(4000, seed=1)
    assert float(draws["x"].mean()) == pytest.approx(np.nanmean(table["x"]), abs=0.35)
    assert float((draws["g"] == "a").mean()) == pytest.approx(np.mean(table["g"] == "a"), abs=0.06)
    assert float(draws["n"].mean()) == pytest.approx(np.nanmean(table["n"]), rel=0.15)


def test_the_default_inference_and_number_of_components(table, schema):
    joint = genprob.fit(table, schema=schema)
    assert joint.run.config["inference"] == {"name": "em"} and joint.run.config["model"] == "mixture"
    assert any("components by held-out" in note for note in joint.notes)


@pytest.mark.parametrize("options", [EM, ELBO | {"steps": 15}], ids=["em", "elbo"])
def test_the_seed_decides_everything(options, table, schema):
    first, again, other = (
        scores(genprob.fit(table, schema=schema, seed=seed, restarts=2, **options), table) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_seed_decides_the_order_of_the_rows(table, schema, monkeypatch):
    model, seen = Mixture.model, []

    def spy(self, batch):
        seen.append(batch.index.tolist())
        return model(self, batch)

    monkeypatch.setattr(Mixture, "model", spy)
    last = []
    for seed in (3, 3, 4):
        genprob.fit(table, schema=schema, seed=seed, steps=1, components=1, inference={"name": "elbo", "batch_size": 9})
        last.append(seen[-1])
    assert last[0] == last[1] != last[2] and len(last[0]) == 9


def test_the_callers_random_numbers_stand(table, schema):
    torch.manual_seed(1)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    joint = genprob.fit(table, schema=schema, **EM)
    joint.sample(3), joint.log_prob(table), joint.query(targets=["g"], given={"x": 0.0}, draws=3)
    assert torch.equal(torch.get_rng_state(), before) and np.array_equal(np.random.get_state()[1], numbers)


# --- requests


def test_steps_are_the_total(table, schema):
    run = genprob.fit(table, schema=schema, components=2, inference={"name": "em", "tolerance": 0.0}, steps=6).run
    assert run.step == 6 and run.config["inference"]["steps"] == 6
    assert genprob.fit(table, schema=schema, components=2, inference={"name": "em", "steps": 3}).run.step == 3


def test_no_step_leaves_the_start(table, schema):
    joint = genprob.fit(table, schema=schema, components=2, steps=0)
    assert joint.run.step == 0 and joint.run.finished and np.isfinite(scores(joint, table)).all()


def test_a_partial_schema_is_completed_and_frozen(table):
    joint = genprob.fit(table, schema={"n": "count", "x": "interval(-10, 10)"}, **EM)
    assert (joint.schema["n"].support.kind, joint.schema["x"].support.lo) == ("count", -10)
    assert joint.schema["g"].support.kind == "categorical"
    assert joint.run.schema == to_toml(joint.schema)


def test_a_schema_object_and_a_schema_file(table, schema, tmp_path):
    whole = genprob.fit(table, schema=schema, **EM).schema
    (tmp_path / "s.toml").write_text(to_toml(whole))
    for given in (whole, tmp_path / "s.toml", str(tmp_path / "s.toml")):
        assert genprob.fit(table, schema=given, **EM).schema == genprob.fit(table, schema=whole, **EM).schema


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"model": "mixtur"}, UsageError, "did you mean 'mixture'"),
        ({"component": 2}, UsageError, "did you mean 'components'"),
        ({"components": 0}, UsageError, "components=0"),
        ({"components": "two"}, UsageError, "components='two'"),
        ({"inference": "emm"}, UsageError, "did you mean 'em'"),
        ({"inference": {"name": "em", "stepps": 1}}, UsageError, "did you mean 'steps'"),
        ({"seed": -1}, UsageError, "seed=-1"),
        ({"steps": -1}, UsageError, "steps=-1"),
        ({"device": "warp"}, UsageError, "device 'warp'"),
        ({"resume": True, "out": None}, UsageError, "needs out="),
        ({"schema": {"z": "real"}}, DataError, "no variable .z."),
        ({"data": {"x": []}}, DataError, "no rows|holds no|empty"),
        ({"data": "nowhere.csv"}, DataError, "nowhere.csv"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing_behind(arguments, error, message, table, tmp_path):
    arguments = {"data": table, "out": tmp_path / "run"} | arguments
    with pytest.raises(error, match=message):
        genprob.fit(**arguments)
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_refused_and_stays(table, schema, tmp_path):
    joint = genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    digest = joint.run.digest
    with pytest.raises(UsageError, match=r"is a run already.*resume"):
        genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    assert genprob.load(tmp_path / "run").run.digest == digest


def test_a_folder_is_free_again_if_the_model_could_not_begin(table, schema, tmp_path, monkeypatch):
    def refuse(self, batch, *, seed):
        raise DataError("not these")

    with monkeypatch.context() as patch, pytest.raises(DataError, match="not these"):
        patch.setattr(Mixture, "prepare", refuse)
        genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    assert genprob.fit(table, schema=schema, out=tmp_path / "run", **EM).run.finished


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_cuda_device(table):
    with pytest.raises(UsageError, match="device 'cuda' cannot be used here"):
        genprob.fit(table, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [EM, ELBO | {"steps": 20}], ids=["em", "elbo"])
def test_cuda_agrees_with_the_cpu_and_resumes(options, table, schema, tmp_path):
    cpu = genprob.fit(table, schema=schema, device="cpu", **options)
    cuda = genprob.fit(table, schema=schema, device="cuda", out=tmp_path / "run", **options)
    assert all(p.device.type == "cuda" for p in cuda.model.parameters())
    np.testing.assert_allclose(scores(cuda, table), scores(cpu, table), atol=1e-4)
    more = genprob.fit(table, out=tmp_path / "run", resume=True, steps=30, device="cuda")
    elsewhere = genprob.load(tmp_path / "run", device="cpu")
    np.testing.assert_allclose(scores(more, table), scores(elsewhere, table), atol=1e-6)
    assert cuda.sample(5)["x"].shape == (5,)
    assert cuda.query(targets=["g"], given={"x": 0.5}, draws=10).attrs["guarantee"] == "exact"


# --- the course of a fit


def test_progress_tells_phase_step_steps_metrics_watch_and_messages(table, schema, told):
    events = []
    genprob.fit(table, schema=schema, progress=events.append, inference={"name": "em", "tolerance": 0}, steps=4)
    messages = [e["message"] for e in events if "message" in e]
    steps = [e for e in events if "step" in e]
    assert any("components by held-out" in m for m in messages)
    assert [e["step"] for e in steps] == [1, 2, 3, 4] and {e["steps"] for e in steps} == {4}
    assert {e["phase"] for e in steps} == {"em"} and {e["watch"] for e in steps} == {"expectation.log_likelihood"}
    assert all(set(e) == {"phase", "step", "steps", "metrics", "watch"} for e in steps)
    watched = [e["metrics"]["expectation.log_likelihood"] for e in steps]
    assert all(type(v) is float for v in watched) and watched[-1] > watched[0]


def test_held_out_rows_are_not_trained_on(table, schema, newest, same):
    """Two data sets that differ in the held-out rows only are prepared and trained alike."""
    frozen = genprob.fit(table, schema=schema, **EM).schema
    options = ELBO | {"steps": 10}
    held = np.random.default_rng(0).permutation(90)[: int(90 * 0.2)]
    x, trained = table["x"].copy(), table["x"].copy()
    x[held] += 1.0
    trained[np.setdiff1d(np.arange(90), held)[0]] = 9.0
    first, second, third = (
        newest(genprob.fit(table | {"x": values}, schema=frozen, seed=0, **options).run.path)["state"]["blocks"]
        for values in (table["x"], x, trained)
    )
    assert same(first, second) and not same(first, third)


def test_early_stopping_keeps_the_best_checkpoint_and_load_takes_it(table, schema, tmp_path, monkeypatch):
    """The held-out score is made to fall after step 10."""
    looks = []

    def score(self, batch):
        looks.append(1)
        return torch.full((len(batch),), [1.0, 5.0, 4.0, 3.0, 2.0, 1.0][len(looks) - 1])

    options = {"name": "elbo", "holdout": 0.2, "evaluate_every": 5, "patience": 3}
    with monkeypatch.context() as patch:
        patch.setattr(Mixture, "score_rows", score)
        joint = genprob.fit(table, schema=schema, components=2, inference=options, steps=500, out=tmp_path / "run")
    assert (joint.run.best, joint.run.step, joint.run.steps()[-1]) == (10, 10, 25)
    best = joint.run.load(10).tree["state"]["blocks"]
    assert all(torch.equal(value, best[f"model.{name}"]) for name, value in joint.model.state_dict().items())
    last = joint.run.load(25).tree["state"]["blocks"]
    assert not torch.equal(last["model.mean"], best["model.mean"])
    told = genprob.open(tmp_path / "run" / "fit.nc")["held_out"].dropna("step")
    assert told["step"].values.tolist() == [5, 10, 15, 20, 25] and told.values.tolist() == [1, 5, 4, 3, 2]


@pytest.mark.parametrize("seed", range(3))
def test_a_rate_that_is_too_large_diverges_and_the_start_stays(seed, table, schema, tmp_path):
    inference = {"name": "elbo", "lr": 1e6, "holdout": 0.0}
    with pytest.raises(Diverged, match="last good checkpoint is kept"):
        genprob.fit(table, schema=schema, components=2, inference=inference, steps=60, out=tmp_path / "run", seed=seed)
    joint = genprob.load(tmp_path / "run")
    assert not joint.run.finished and np.isfinite(scores(joint, table)).all()


@pytest.mark.parametrize("broken", ["metric", "parameter", "factorisation", "value"])
def test_numbers_that_are_none_end_an_em_fit(broken, table, schema, tmp_path, monkeypatch, told):
    expectation, maximisation, calls = Mixture.expectation, Mixture.maximisation, []

    def expect(self, batch):
        calls.append(1)
        statistics, metrics = expectation(self, batch)
        if len(calls) == 5 and broken == "metric":
            metrics["log_likelihood"] = torch.tensor(float("nan"))
        if len(calls) == 5 and broken == "factorisation":
            torch.linalg.cholesky(-torch.eye(2))
        return statistics, metrics

    def maximise(self, statistics, batch):
        parameters = maximisation(self, statistics, batch)
        if len(calls) >= 4 and broken in ("parameter", "value"):
            if len(calls) == 5:
                raise ValueError("Expected parameter mean to be real")
            parameters["mean"] = parameters["mean"] * float("nan")
        return parameters

    monkeypatch.setattr(Mixture, "expectation", expect)
    monkeypatch.setattr(Mixture, "maximisation", maximise)
    if broken == "parameter":
        monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Diverged, match="last good checkpoint is kept") as caught:
        genprob.fit(table, schema=schema, components=2, inference={"name": "em", "tolerance": 0}, out=tmp_path / "run")
    monkeypatch.undo()
    assert str(tmp_path / "run") in str(caught.value)
    assert np.isfinite(scores(genprob.load(tmp_path / "run"), table)).all()


def test_an_error_of_the_model_is_not_taken_for_divergence(table, schema, monkeypatch):
    def expect(self, batch):
        raise ValueError("a mistake")

    monkeypatch.setattr(Mixture, "expectation", expect)
    with pytest.raises(ValueError, match="a mistake"):
        genprob.fit(table, schema=schema, components=2)


# --- what is left


def test_the_history_opens_in_xarray_and_grows_with_the_steps(table, schema, tmp_path):
    inference = {"name": "em", "tolerance": 0}
    joint = genprob.fit(table, schema=schema, components=2, inference=inference, steps=12, out=tmp_path / "run")
    path = tmp_path / "run" / "fit.nc"
    ours = genprob.open(path)
    assert ours["step"].values.tolist() == list(range(1, 13))
    objective = ours["expectation.objective"].values
    assert np.all(np.diff(objective) > -1e-9) and objective[-1] > objective[0]
    with xr.open_dataset(path, engine="h5netcdf") as theirs:
        np.testing.assert_array_equal(theirs["expectation.objective"].values, objective)
        assert theirs.attrs["watch"] == "expectation.log_likelihood"
    assert "fit.nc" in joint.run.files()
    joint.run.verify()


def test_a_long_history_is_thinned_but_for_the_held_out_scores(table, schema, monkeypatch, told):
    monkeypatch.setattr(history, "RECORDS", 3)
    inference = {"name": "elbo", "holdout": 0.2, "evaluate_every": 5}
    joint = genprob.fit(table, schema=schema, components=2, inference=inference, steps=13)
    kept = genprob.open(joint.run.path / "fit.nc")
    assert kept["step"].values.tolist() == [1, 4, 5, 8, 10, 12, 13]
    assert kept["held_out"].dropna("step")["step"].values.tolist() == [5, 10]


def test_a_temporary_run_goes_with_its_process(table):
    code = (
        "import genprob, sys; joint = genprob.fit({'x': [1.0, 2.5, 3.25]}, components=1, steps=1);"
        "print(joint.run.path); joint.sample(2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert path.name == "run" and not path.exists() and not path.parent.exists()


def test_a_run_is_loaded_with_its_plugin_only(table, schema, tmp_path, monkeypatch):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    monkeypatch.setenv("GENPROB_PLUGINS", "-mixture")
    for ask in (
        lambda: genprob.load(tmp_path / "run"),
        lambda: genprob.fit(table, out=tmp_path / "run", resume=True),
    ):
        with pytest.raises(PluginError, match=r"'mixture'.*not enabled"):
            ask()


def test_a_run_of_another_version_of_the_model_is_refused(table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    with Run.open(tmp_path / "run") as run:
        tree = run.load().tree
        del tree["state"]["blocks"]["model.mean"]
        run.save(9, tree)
    with pytest.raises(PluginError, match=r"model\.mean"):
        genprob.load(tmp_path / "run")
    with pytest.raises(PluginError, match=r"model\.mean"):
        genprob.fit(table, out=tmp_path / "run", resume=True, steps=20)
