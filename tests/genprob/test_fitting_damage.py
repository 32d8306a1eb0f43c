"""A run of which any file is damaged: the same answer, or an error that says so; never another answer."""

import random
import shutil

import numpy as np
import pytest

import genprob
from genprob import training
from genprob.engine.run import Run
from genprob.errors import CorruptFileError, GenprobError

CASES = 240
ASKED = {"targets": ["g"], "given": {"x": 0.5}, "draws": 4}


@pytest.fixture(scope="module")
def run(table, schema, tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "run"
    inference = {"name": "elbo", "holdout": 0.2, "evaluate_every": 3}
    genprob.fit(table, schema=schema, components=2, inference=inference, steps=12, out=path)
    assert len(Run.open(path).steps()) > 1
    return path


def answer(path):
    joint = genprob.load(path)
    asked = joint.query(**ASKED)
    return (
        joint.schema,
        joint.run.step,
        joint.rows,
        asked["posterior"]["g"].values.tolist(),
        asked["marginals"]["g_pmf"].values.tolist(),
        asked.attrs["log_evidence"],
    )


def damage(raw, rng):
    """A flipped bit, a cut, a hole of zeros, something added, or nothing left."""
    kind = rng.choice(["flip", "flip", "cut", "zeros", "more", "empty"])
    if kind == "empty" or not raw:
        return b"" if raw else b"x"
    at = rng.randrange(len(raw))
    if kind == "cut":
        return raw[:at]
    if kind == "more":
        return raw + bytes(rng.randrange(256) for _ in range(3))
    if kind == "zeros":
        length = rng.randrange(1, 64)
        return raw[:at] + bytes(len(raw[at : at + length])) + raw[at + length :]
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def test_damage_anywhere_is_found_or_harmless(run):
    rng = random.Random(5)
    whole = answer(run)
    files = sorted(p for p in run.rglob("*") if p.is_file())
    assert {p.name for p in files} >= {"config.json", "schema.toml", "MANIFEST.json", "fit.nc", "state.safetensors"}
    found = {p: 0 for p in files}
    for case in range(CASES):
        path = files[case % len(files)]
        raw = path.read_bytes()
        broken = damage(raw, rng)
        if broken == raw:
            continue
        path.write_bytes(broken)
        try:
            assert answer(run) == whole, f"case {case}: {path.name} gave another answer"
        except CorruptFileError as error:
            found[path] += 1
            assert str(path) in str(error) or path.name in str(error), f"case {case}: the error names another file"
        except GenprobError as error:
            pytest.fail(f"case {case}: {path.name}: {type(error).__name__}: {error}")
        finally:
            path.write_bytes(raw)
    assert answer(run) == whole
    answering = run / "checkpoints" / str(whole[1])
    for path, count in found.items():
        needed = path.parent == answering or path.name in ("config.json", "schema.toml", "MANIFEST.json")
        assert (count > 0) == needed, f"{path}: {count} of its damages were found"


@pytest.mark.parametrize("name", ["config.json", "schema.toml", "MANIFEST.json", "checkpoints", "LOCK", "events.jsonl"])
def test_a_missing_file_is_found_or_harmless(name, run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (shutil.rmtree if (copy / name).is_dir() else type(copy).unlink)(copy / name)
    if name in ("LOCK", "events.jsonl"):
        assert answer(copy) == answer(run)
    else:
        with pytest.raises(CorruptFileError, match="missing"):
            answer(copy)


def test_a_damaged_history_is_refused_by_open_alone(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "fit.nc").write_bytes((copy / "fit.nc").read_bytes()[:-64])
    assert answer(copy) == answer(run)
    with pytest.raises(CorruptFileError, match=r"fit\.nc"):
        genprob.open(copy / "fit.nc")
    with pytest.raises(CorruptFileError, match=r"fit\.nc"):
        Run.open(copy).verify()


def test_an_unfinished_run_falls_back_and_says_so(table, schema, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "_PROGRESS_SECONDS", 0.0)

    def stop(event):
        if event.get("step") == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        genprob.fit(table, schema=schema, components=2, steps=9, out=tmp_path / "run", progress=stop)
    newest = tmp_path / "run" / "checkpoints" / "5" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    joint = genprob.load(tmp_path / "run")
    assert any("checkpoint 4 was loaded instead" in note for note in joint.notes)
    assert np.isfinite(joint.log_prob(table)["log_prob"]).all()
