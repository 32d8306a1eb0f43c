"""Every registered model keeps the contract."""

import pytest

from genprob import plugins
from genprob.testing import check

FAST = {
    "boltzmann": {"chains": 64, "temperatures": 50},
    "made": {"hidden": (32,), "bins": 8, "completions": 2},
    "mixture": {"components": 2},
    "nade": {"hidden": (32,), "bins": 8, "completions": 2},
    "rbm": {"hidden": 16, "chains": 64, "temperatures": 100},
    "vae": {"latent": 2, "hidden": (16,)},
}


@pytest.mark.parametrize("name", [spec.name for spec, owner in plugins.specs("model") if owner == "genprob"])
def test_every_registered_model_keeps_the_contract(name):
    report = check(name, steps=10, **FAST.get(name, {}))
    assert report.ok, report
