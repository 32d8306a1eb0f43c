import subprocess
import sys

from genprob import plugins
from genprob.data.hooks import genprob_datasets


def test_every_set_is_registered():
    found = {spec.name for spec, _ in plugins.specs("dataset")}
    assert found >= {spec.name for spec in genprob_datasets()}


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, genprob.data.hooks; print([m for m in ('numpy', 'pandas', 'xarray', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
