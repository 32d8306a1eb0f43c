"""Resuming: stopped in any way and continued, a fit is the unbroken one bit for bit, and nobody else's."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob import training
from genprob.engine.run import Run
from genprob.errors import CorruptFileError, DataError, RunBusyError, UsageError
from genprob_mixture.mixture import Mixture

STEPS = 14
EM = {"components": 3, "inference": {"name": "em", "tolerance": 0.0}, "steps": STEPS}
ELBO = {
    "components": 3,
    "inference": {"name": "elbo", "holdout": 0.2, "evaluate_every": 4, "batch_size": 16},
    "steps": STEPS,
}
METHODS = pytest.mark.parametrize("method", [EM, ELBO], ids=["em", "elbo"])


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """Every step is told, so that a test can stop where it likes."""
    monkeypatch.setattr(training, "_PROGRESS_SECONDS", 0.0)


def stop(at, how="raise"):
    """A progress callback that ends the fit at a step."""

    def hear(event):
        if event.get("step") == at:
            if how == "raise":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGINT)

    return hear


def content(path):
    """Everything of a run that its fit decides: the checkpoints' trees, which is the answer, the history."""
    run = Run.open(path)
    trees = {step: run.load(step).tree for step in run.steps()[-1:] + ([run.best] if run.best is not None else [])}
    history = genprob.open(path / "fit.nc")
    return trees, (run.step, run.best, run.finished), history


def assert_same(a, b, same):
    (trees, status, history), (other_trees, other_status, other_history) = content(a), content(b)
    assert status == other_status and set(trees) == set(other_trees)
    for step, tree in trees.items():
        assert same(tree, other_trees[step]), f"checkpoint {step}"
    assert history.identical(other_history)


@METHODS
@pytest.mark.parametrize("how", ["raise", "signal"])
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["often", "seldom"])
def test_interrupted_and_resumed_is_unbroken(method, how, seconds, table, schema, tmp_path, same, monkeypatch):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", seed=3, **method)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", seconds)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step \d+, checkpoint saved; continue .*resume=True"):
        genprob.fit(table, schema=schema, out=run, seed=3, progress=stop(5, how), **method)
    stopped = Run.open(run)
    assert not stopped.finished and stopped.steps()[-1] == (5 if how == "raise" else 6)
    genprob.load(run).sample(2)
    with pytest.raises(KeyboardInterrupt):
        genprob.fit(table, out=run, resume=True, progress=stop(9, how))
    genprob.fit(table, out=run, resume=True)
    assert_same(run, tmp_path / "whole", same)


def test_the_first_interrupt_comes_before_the_first_step(table, schema, tmp_path, same, monkeypatch):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", **EM)
    prepare = Mixture.prepare

    def interrupted(self, batch, *, seed):
        raise KeyboardInterrupt

    monkeypatch.setattr(Mixture, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; continue .*resume=True"):
        genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    with pytest.raises(UsageError, match="no checkpoint yet"):
        genprob.load(tmp_path / "run")
    monkeypatch.setattr(Mixture, "prepare", prepare)
    genprob.fit(table, out=tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "whole", same)


def test_without_a_run_resuming_begins_one(table, schema, tmp_path, same):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", **EM)
    genprob.fit(table, schema=schema, out=tmp_path / "run", resume=True, **EM)
    assert_same(tmp_path / "run", tmp_path / "whole", same)


def test_a_temporary_run_says_how_to_keep_it(table, schema):
    with pytest.raises(KeyboardInterrupt, match="give out="):
        genprob.fit(table, schema=schema, progress=stop(2), **EM)


def test_in_another_thread_a_callback_still_stops(table, schema, tmp_path):
    caught = []

    def work():
        try:
            genprob.fit(table, schema=schema, out=tmp_path / "run", progress=stop(4), **EM)
        except KeyboardInterrupt as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "step 4" in caught[0] and Run.open(tmp_path / "run").step == 4


def test_more_steps_continue_a_finished_fit(table, schema, tmp_path, same):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", **EM)
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM | {"steps": 6})
    joint = genprob.fit(table, out=tmp_path / "run", resume=True, steps=STEPS)
    assert joint.run.config["inference"]["steps"] == STEPS
    assert_same(tmp_path / "run", tmp_path / "whole", same)
    said = genprob.fit(table, out=tmp_path / "run", resume=True, inference={"name": "em", "steps": STEPS + 1})
    assert said.run.step == STEPS + 1


def test_fewer_steps_than_are_done_are_refused(table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(UsageError, match=f"has done {STEPS} steps already; steps=3"):
        genprob.fit(table, out=tmp_path / "run", resume=True, steps=3)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert genprob.fit(table, out=tmp_path / "run", resume=True).run.step == STEPS


@METHODS
def test_a_finished_fit_is_left_as_it_is(method, table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **method)
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file() and p.name != "LOCK"}
    for _ in range(2):
        joint = genprob.fit(table, out=tmp_path / "run", resume=True)
    after = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file() and p.name != "LOCK"}
    assert before == after and joint.run.finished


def test_a_fit_that_ended_by_itself_says_that_more_steps_change_nothing(table, schema, tmp_path):
    options = {"components": 2, "inference": {"name": "em", "tolerance": 0.05}, "out": tmp_path / "run"}
    ended = genprob.fit(table, schema=schema, steps=50, **options).run.step
    assert 1 < ended < 50
    said = []
    joint = genprob.fit(table, out=tmp_path / "run", resume=True, steps=90, progress=said.append)
    assert joint.run.step == ended and joint.run.finished
    assert any(f"ended by itself at step {ended}" in e.get("message", "") for e in said)


def test_a_damaged_answer_is_made_again_from_the_checkpoint_before(table, schema, tmp_path, same, monkeypatch):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    for name in ("whole", "run"):
        genprob.fit(table, schema=schema, out=tmp_path / name, **EM)
    state = tmp_path / "run" / "checkpoints" / str(STEPS) / "state.safetensors"
    raw = bytearray(state.read_bytes())
    raw[len(raw) // 2] ^= 4
    state.write_bytes(raw)
    said = []
    genprob.fit(table, out=tmp_path / "run", resume=True, progress=said.append)
    assert any("resuming from checkpoint" in e.get("message", "") for e in said)
    assert_same(tmp_path / "run", tmp_path / "whole", same)


# --- what may not change


def test_other_data_are_refused(table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    digest = Run.open(tmp_path / "run").digest
    moved = table | {"x": np.where(np.arange(90) == 7, 0.125, table["x"])}
    for other in (moved, pd.DataFrame(table).iloc[:-1], pd.DataFrame(table).iloc[::-1]):
        with pytest.raises(DataError, match="was begun on other data"):
            genprob.fit(other, out=tmp_path / "run", resume=True, steps=30)
    assert Run.open(tmp_path / "run").digest == digest


def test_the_same_data_from_elsewhere_are_the_same(table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", **EM)
    frame = pd.DataFrame(table)[["n", "g", "y", "x"]].assign(unused=1.0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert genprob.fit(tmp_path / "t.csv", out=tmp_path / "run", resume=True, steps=STEPS + 1).run.step == STEPS + 1
    negative = {k: np.where(np.isnan(v), -np.nan, v) if v.dtype.kind == "f" else v for k, v in table.items()}
    assert genprob.fit(negative, out=tmp_path / "run", resume=True).run.finished


@pytest.mark.parametrize(
    "other, message",
    [
        ({"components": 4}, "components 3, not 4"),
        ({"smoothing": 3.0}, "smoothing 1.0, not 3.0"),
        ({"inference": "elbo"}, "inference 'em', not 'elbo'"),
        ({"inference": {"name": "em", "tolerance": 0.5}}, "tolerance 0.0, not 0.5"),
        ({"seed": 8}, "seed 2, not 8"),
        ({"schema": {"n": "real", "x": "real", "y": "real"}}, "another schema"),
        ({"model": "mixtur"}, "unknown model"),
    ],
)
def test_other_requests_are_refused(other, message, table, schema, tmp_path):
    genprob.fit(table, schema=schema, out=tmp_path / "run", seed=2, **EM)
    digest = Run.open(tmp_path / "run").digest
    with pytest.raises(UsageError, match=message):
        genprob.fit(table, out=tmp_path / "run", resume=True, **other)
    assert Run.open(tmp_path / "run").digest == digest
    genprob.fit(table, schema=schema, out=tmp_path / "run", resume=True, seed=2, **EM)


def test_a_folder_that_is_no_run_is_refused(table, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and not a run"):
        genprob.fit(table, out=tmp_path / "run", resume=True, **EM)
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [True, False])
def test_checkpoints_without_a_manifest_are_not_written_over(resume, table, schema, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        genprob.fit(table, schema=schema, out=tmp_path / "run", progress=stop(4), **EM)
    (tmp_path / "run" / "MANIFEST.json").unlink()
    with pytest.raises(CorruptFileError, match=r"MANIFEST\.json: missing"):
        genprob.fit(table, schema=schema, out=tmp_path / "run", resume=resume, **EM)
    assert (tmp_path / "run" / "checkpoints" / "4" / "state.safetensors").exists()


# --- other processes

SLOW = """
import sys, time, pickle
import genprob
from genprob import training
training._PROGRESS_SECONDS = 0.0
training._CHECKPOINT_SECONDS = 0.0
table, schema, options, out, pause = pickle.load(open(sys.argv[1], "rb"))
def tell(event):
    if "step" in event:
        print(event["step"], flush=True)
        time.sleep(pause)
genprob.fit(table, schema=schema, out=out, progress=tell, **options)
"""


@pytest.fixture
def process(table, schema, tmp_path):
    """A process that fits slowly and tells its steps."""
    import pickle

    begun = []

    def begin(out, options, pause):
        order = tmp_path / f"order{len(begun)}"
        order.write_bytes(pickle.dumps((table, schema, options, out, pause)))
        command = [sys.executable, "-c", SLOW, str(order)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


def wait_for(process, step):
    for line in process.stdout:
        if int(line) >= step:
            return
    pytest.fail(f"the process ended: {process.stderr.read()}")


@METHODS
def test_killed_at_any_moment_and_resumed_is_unbroken(method, table, schema, tmp_path, same, process):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", **method)
    child = process(tmp_path / "run", method, 0.02)
    wait_for(child, 6)
    time.sleep(0.013)
    child.kill()
    child.wait()
    assert 5 <= Run.open(tmp_path / "run").steps()[-1] < STEPS
    genprob.load(tmp_path / "run").sample(2)
    genprob.fit(table, out=tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "whole", same)


def test_a_second_process_is_refused_and_the_first_not_disturbed(table, schema, tmp_path, same, process):
    genprob.fit(table, schema=schema, out=tmp_path / "whole", **EM)
    child = process(tmp_path / "run", EM, 0.15)
    wait_for(child, 2)
    for resume in (True, False):
        with pytest.raises(RunBusyError, match=f"pid {child.pid}") as caught:
            genprob.fit(table, schema=schema, out=tmp_path / "run", resume=resume, **EM)
    assert caught.value.exit_code == 5
    genprob.load(tmp_path / "run").sample(2)
    assert child.wait(timeout=60) == 0, child.stderr.read()
    assert_same(tmp_path / "run", tmp_path / "whole", same)
    assert Path(tmp_path / "run" / "LOCK").exists() and genprob.fit(table, out=tmp_path / "run", resume=True)
