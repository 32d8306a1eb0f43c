"""Provenance is plain JSON and loads no library."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from genprob.data.schema import Schema, Variable
from genprob.data.support import Real
from genprob.results.provenance import provenance
from genprob.results.vocabulary import schema_digest


def test_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schema = Schema((Variable("x", Real()),))
    record = provenance({"n": 3, "given": {"x": 1}}, 5, schema, Path("runs/a"), "ab")
    assert json.loads(json.dumps(record)) == record
    assert (record["seed"], record["run"], record["manifest"]) == (5, "runs/a", "ab")
    assert record["schema"] == schema_digest(schema)
    assert record["arguments"] == {"n": 3, "given": "{'x': 1}"}
    assert record["versions"]["numpy"] and record["python"].startswith("3.")
    assert datetime.fromisoformat(record["time"]).utcoffset().total_seconds() == 0


def test_paths_outside_the_working_directory_are_not_told(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert provenance(run=tmp_path / "secret" / "a")["run"] == "a"


def test_no_library_is_imported():
    code = (
        "import sys; from genprob.results.provenance import provenance; assert provenance()['versions']\n"
        "assert not {'torch', 'pyro', 'xarray', 'h5py', 'pandas'} & set(sys.modules), sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
