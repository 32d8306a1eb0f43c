"""The run folder: one writer, a manifest that vouches for every byte, and a last complete checkpoint after any kill."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from genprob.engine.run import CONFIG, LOCK, MANIFEST, SCHEMA, Run
from genprob.errors import CorruptFileError, ResourceError, RunBusyError, UsageError

STATE = Path("state.safetensors")


def tree(step):
    return {"blocks": {"w": torch.full((4,), float(step))}, "step": step}


def make(path, steps=(10, 20, 30), best=None, finish=True):
    with Run.create(path, {"seed": 0}, 'sample_dim = "row"\n') as run:
        for step in steps:
            run.log(step, {"loss": 1.0 / step})
            run.save(step, tree(step), best=step == best)
        if finish:
            run.finish()
    return run.path


def flip(path, at=-1):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def state(path, step):
    return path / "checkpoints" / str(step) / STATE


def test_what_was_written_is_read(tmp_path):
    run = Run.open(make(tmp_path / "a"))
    assert (run.config, run.schema) == ({"seed": 0}, 'sample_dim = "row"\n')
    loaded = run.load()
    assert (loaded.step, loaded.note, loaded.tree["step"]) == (30, None, 30)
    assert torch.equal(loaded.tree["blocks"]["w"], torch.full((4,), 30.0))
    assert run.finished and run.results.is_dir()
    run.verify()


def test_run_is_free_of_torch():
    code = "import sys, genprob.engine.run; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_last_two_and_the_best_are_kept(tmp_path):
    path = make(tmp_path / "a", steps=range(10, 80, 10), best=30)
    run = Run.open(path)
    assert run.steps() == [30, 60, 70]
    assert sorted(p.name for p in (path / "checkpoints").iterdir()) == ["30", "60", "70"]
    assert (run.best, run.step) == (30, 70)
    assert run.load(60).tree["step"] == 60
    with pytest.raises(UsageError, match="holds no checkpoint 50; it holds 30, 60, 70"):
        run.load(50)


def test_the_answer_may_be_the_best(tmp_path):
    path = make(tmp_path / "a", best=10, finish=False)
    with Run.open(path) as run:
        run.finish(10)
    assert Run.open(path).load().step == 10


@pytest.mark.parametrize("name", [CONFIG, SCHEMA, MANIFEST])
def test_damage_to_the_small_files_is_named(tmp_path, name):
    path = make(tmp_path / "a")
    flip(path / name, at=5)
    with pytest.raises(CorruptFileError, match=name):
        Run.open(path)
    (path / name).unlink()
    with pytest.raises(CorruptFileError, match=f"{name}: missing"):
        Run.open(path)


def test_verify_names_the_bad_file(tmp_path):
    path = make(tmp_path / "a")
    run = Run.open(path)
    for name in run.files():
        raw = (path / name).read_bytes()
        flip(path / name)
        with pytest.raises(CorruptFileError, match=name):
            run.verify()
        (path / name).write_bytes(raw)
    run.verify()


def test_a_damaged_answer_of_a_finished_run_is_refused_and_another_is_named(tmp_path):
    path = make(tmp_path / "a")
    flip(state(path, 30))
    with pytest.raises(CorruptFileError, match=r"30/state\.safetensors: altered.*checkpoint=20\) takes it"):
        Run.open(path).load()
    assert Run.open(path).load(20).tree["step"] == 20
    flip(state(path, 20))
    with pytest.raises(CorruptFileError, match=r"30/state\.safetensors: altered[^;]*$"):
        Run.open(path).load()


def test_an_unfinished_run_loads_the_newest_that_verifies_and_says_so(tmp_path):
    path = make(tmp_path / "a", finish=False)
    flip(state(path, 30))
    loaded = Run.open(path).load()
    assert loaded.step == 20 and "checkpoint 20 was loaded instead" in loaded.note


def test_resume_falls_back_and_says_so(tmp_path):
    path = make(tmp_path / "a")
    flip(state(path, 30))
    with Run.open(path) as run:
        back = run.resume()
        assert back.step == 20 and "resuming from checkpoint 20" in back.note
        assert not run.finished
        run.log(25, {"loss": 9.0})
        run.save(40, tree(40))
    run = Run.open(path)
    assert [e["step"] for e in run.events()] == [10, 20, 25]
    assert run.load().step == 40
    run.verify()
    flip(state(path, 40))
    flip(state(path, 20))
    with Run.open(path) as run, pytest.raises(CorruptFileError, match="cannot be resumed"):
        run.resume()


def test_resume_before_the_first_checkpoint(tmp_path):
    path = make(tmp_path / "a", steps=(), finish=False)
    with Run.open(path) as run:
        assert run.resume() is None
    with pytest.raises(UsageError, match="no checkpoint yet"):
        Run.open(path).load()


def test_where_there_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no such run"):
        Run.open(tmp_path / "none")
    (tmp_path / "f").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        Run.open(tmp_path / "f")
    with pytest.raises(UsageError, match="is not a genprob run"):
        Run.open(tmp_path)


def test_create_refuses_folders_in_use(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        Run.create(tmp_path, {}, "")
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]
    path = make(tmp_path / "a")
    before = (path / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="is a run already"):
        Run.create(path, {}, "")
    assert (path / MANIFEST).read_bytes() == before
    with pytest.raises(UsageError, match="is a file"):
        Run.create(tmp_path / "notes", {}, "")
    with pytest.raises(UsageError, match="must be JSON"):
        Run.create(tmp_path / "b", {"net": object()}, "")
    Run.create(tmp_path / "b", {}, "").release()


def test_create_refuses_checkpoints_that_no_manifest_vouches_for(tmp_path):
    path = make(tmp_path / "a")
    (path / MANIFEST).unlink()
    before = sorted(str(p) for p in path.rglob("*"))
    with pytest.raises(CorruptFileError, match=r"MANIFEST\.json: missing, yet there are checkpoints"):
        Run.create(path, {}, "")
    assert sorted(str(p) for p in path.rglob("*")) == before


def test_one_writer_at_a_time(tmp_path):
    path = make(tmp_path / "a")
    with Run.open(path):
        with pytest.raises(RunBusyError, match=f"pid {os.getpid()} on "):
            Run.open(path).lock()
        with pytest.raises(RunBusyError):
            Run.create(path, {}, "")
        assert Run.open(path).load().step == 30
    Run.open(path).lock().release()


def test_a_dead_writers_lock_is_no_lock(tmp_path):
    path = make(tmp_path / "a")
    code = (
        f"import signal; from genprob.engine.run import Run; run = Run.open({str(path)!r}).lock()\n"
        "print('up', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        with pytest.raises(RunBusyError, match=f"pid {writer.pid} on "):
            Run.open(path).lock()
        writer.kill()
        writer.wait()
    assert f"pid {writer.pid}" in (path / LOCK).read_text()
    Run.open(path).lock().release()


def test_a_reader_cannot_write(tmp_path):
    run = Run.open(make(tmp_path / "a"))
    for write in (lambda: run.log(1, {}), lambda: run.save(1, {}), lambda: run.keep("x", ""), run.finish, run.resume):
        with pytest.raises(UsageError, match="lock it first"):
            write()


def test_a_reader_survives_pruning(tmp_path):
    path = make(tmp_path / "a", finish=False)
    reader = Run.open(path)
    with Run.open(path) as writer:
        for step in (40, 50, 60):
            writer.save(step, tree(step))
    assert reader.load().step == 60


@pytest.mark.parametrize("moment", ["manifest", "rename"])
def test_a_file_replaced_half_way_is_still_vouched_for(tmp_path, monkeypatch, moment):
    path = make(tmp_path / "a")
    from genprob import atomic

    real, calls = atomic.put, []

    def dies(temporary, target):
        calls.append(target.name)
        if moment == "rename" and target.name == CONFIG:
            raise KeyboardInterrupt
        if moment == "manifest" and calls[-1] == MANIFEST and CONFIG in calls:
            raise KeyboardInterrupt
        real(temporary, target)

    with Run.open(path) as run:
        monkeypatch.setattr(atomic, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            run.configure({"seed": 0, "steps": 99})
    monkeypatch.undo()
    run = Run.open(path)
    run.verify()
    assert run.config == ({"seed": 0} if moment == "rename" else {"seed": 0, "steps": 99})


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_checkpoint_replaced_half_way_is_still_vouched_for(tmp_path, monkeypatch, moment):
    path = make(tmp_path / "a")
    from genprob import atomic

    real = atomic.put

    def dies(temporary, target):
        if target.name == "30":
            if moment == "after":
                real(temporary, target)
            raise KeyboardInterrupt
        real(temporary, target)

    with Run.open(path) as run:
        monkeypatch.setattr(atomic, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            run.save(30, {"step": 30, "again": True})
    monkeypatch.undo()
    run = Run.open(path)
    run.verify()
    assert ("again" in run.load().tree) == (moment == "after")


def test_kept_files_are_vouched_for(tmp_path):
    path = make(tmp_path / "a")
    with Run.open(path) as run:
        run.keep("fit.nc", lambda p: p.write_bytes(b"1"))
        run.keep("fit.nc", b"22")
    Run.open(path).verify()
    flip(path / "fit.nc")
    with pytest.raises(CorruptFileError, match=r"fit\.nc"):
        Run.open(path).verify()


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = make(tmp_path / "a", finish=False)
    with Run.open(path) as run:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 3))
        with pytest.raises(ResourceError, match="checkpoints/40: the disk is full"):
            run.save(40, tree(40))
    Run.open(path).verify()
    assert Run.open(path).load().step == 30
    assert not list(path.rglob("*.tmp"))


def test_a_kill_at_any_moment_leaves_a_run_that_loads(tmp_path):
    """A writer is killed at random moments; each time its last announced checkpoint, or a later one, loads."""
    path = tmp_path / "a"
    code = (
        "import torch; from genprob.engine.run import Run\n"
        f"path = {str(path)!r}\n"
        "run = Run.open(path).lock() if Run.exists(path) else Run.create(path, {'seed': 0}, 'x')\n"
        "back = run.resume() if run.step is not None else None\n"
        "step = back.step if back else 0\n"
        "while True:\n"
        "    step += 1\n"
        "    run.save(step, {'w': torch.full((2000,), float(step)), 'step': step}, best=step % 7 == 0)\n"
        "    run.save(step, {'w': torch.full((2000,), float(step)), 'step': step}, best=step % 7 == 0)\n"
        "    run.configure({'seed': step})\n"
        "    print(step, flush=True)\n"
    )
    rng = random.Random(0)
    for _ in range(3):
        told = tmp_path / "told"
        with told.open("w") as out, subprocess.Popen([sys.executable, "-c", code], stdout=out) as writer:
            while not told.stat().st_size:
                assert writer.poll() is None
                time.sleep(0.005)
            time.sleep(rng.uniform(0.05, 0.4))
            writer.send_signal(signal.SIGKILL)
        last = int(told.read_text().split("\n")[-2])
        run = Run.open(path)
        loaded = run.load()
        assert loaded.note is None and loaded.step >= last
        assert loaded.tree["step"] == loaded.step and (loaded.tree["w"] == loaded.step).all()
        run.verify()
