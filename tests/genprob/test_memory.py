"""Memory is asked for before it is taken."""

import numpy as np
import pandas as pd
import pytest

import genprob
from genprob import memory
from genprob.errors import ResourceError
from genprob_cli import app


def test_what_is_free_is_known_here_or_nothing_is_claimed():
    there = memory.available()
    assert there is None or 2**20 < there < 2**50
    memory.require(1.0, "a byte", "")


def test_too_much_is_refused_with_a_cure(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2**30)
    memory.require(2**30, "as much as there is", "")
    with pytest.raises(ResourceError, match=r"a matrix needs about 2.0 GiB of memory, 1.0 GiB are free; take less"):
        memory.require(2**31, "a matrix", "take less")
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require(2**60, "a matrix", "take less")


def test_a_table_too_wide_for_memory_is_refused_before_it_is_tried(monkeypatch, tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(20, 60))).add_prefix("x")
    need = 8 * 60 * 60
    monkeypatch.setattr(memory, "available", lambda: need * 100)
    genprob.fit(rows, components=2, steps=1)
    monkeypatch.setattr(memory, "available", lambda: need)
    with pytest.raises(ResourceError, match="60 numbers a row"):
        genprob.fit(rows, components=2, steps=1)
    rows.to_csv(tmp_path / "wide.csv", index=False)
    assert app.run(["fit", str(tmp_path / "wide.csv"), "--out", str(tmp_path / "run")]) == 9
    assert "--ignore NAME" in capsys.readouterr().err
    assert not (tmp_path / "run" / "MANIFEST.json").exists()
