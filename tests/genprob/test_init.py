from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import genprob

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "torch", "pyro", "xarray", "pandas", "scipy", "matplotlib")


def loaded(statement: str, folder: Path) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return set(done.stdout.split())


def test_importing_genprob_loads_nothing_heavy(tmp_path):
    assert loaded("import genprob", tmp_path) == set()


def test_the_check_sees_a_heavy_import(tmp_path):
    assert "numpy" in loaded("import genprob; genprob.Schema", tmp_path)


def test_evidence_and_errors_load_nothing_heavy(tmp_path):
    assert loaded("import genprob; genprob.Within(0, 1); genprob.errors.DataError", tmp_path) == set()


def test_listing_what_is_installed_loads_neither_torch_nor_pyro(tmp_path):
    statement = (
        "from genprob import plugins\nfor kind in ('model', 'inference', 'strategy', 'dataset'): plugins.specs(kind)"
    )
    assert loaded(statement, tmp_path) & {"torch", "pyro"} == set()


@pytest.mark.parametrize("name", sorted(set(genprob.__all__) - {"__version__"}))
def test_every_public_name_is_found(name):
    place = genprob._PLACES[name]
    module, _, attribute = place.partition(":")
    expected = importlib.import_module(module)
    assert getattr(genprob, name) is (getattr(expected, attribute) if attribute else expected)


def test_all_dir_and_the_table_agree():
    assert set(genprob.__all__) == set(genprob._PLACES) | {"__version__"}
    assert set(genprob.__all__) <= set(dir(genprob))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        getattr(genprob, "fitt")  # noqa: B009  the attribute is what is tested


def test_the_version_is_the_installed_one():
    assert importlib.metadata.version("genprob") == genprob.__version__


def test_the_installation_does_not_put_the_repository_on_the_path(tmp_path):
    code = "import importlib.util as u; s = u.find_spec('tests'); print(s.origin if s else '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(ROOT / "tests") not in done.stdout
