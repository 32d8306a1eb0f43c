"""Every registered model keeps the contract."""

import numpy as np
import pytest
import xarray as xr

from genprob import plugins
from genprob.testing import check
from genprob.testing.tables import mixed, reals

SMALL = {"latent": 2, "hidden": (16,)}
PICTURES = xr.Dataset({"image": (("row", "y", "x"), np.random.default_rng(0).integers(0, 2, (120, 4, 4)))})
FAST = {
    "anyorder": {"hidden": 32},
    "boltzmann": {"chains": 64, "temperatures": 50},
    "ali": SMALL,
    "energy": {"hidden": (8,), "chains": 32, "temperatures": 30},
    "flow": {"hidden": (16,), "layers": 2, "components": 2, "completions": 2},
    "dcgan": {"latent": 2, "hidden": (16,), "channels": 2, "data": PICTURES},
    "dae": {"hidden": (16,), "data": reals()[["x", "y"]]},
    "gan": SMALL,
    "gsn": {"hidden": (16,), "data": mixed()[["x", "member", "colour"]]},
    "made": {"hidden": (32,), "bins": 8, "completions": 2},
    "mixture": {"components": 2},
    "nade": {"hidden": (32,), "bins": 8, "completions": 2},
    "rbm": {"hidden": 16, "chains": 64, "temperatures": 100},
    "score": {"hidden": (16,)},
    "ssvae": SMALL,
    "tangled": {"chains": 64, "temperatures": 50},
    "vae": SMALL,
    "wgan": SMALL,
}


@pytest.mark.parametrize("name", [spec.name for spec, owner in plugins.specs("model") if owner == "genprob"])
def test_every_registered_model_keeps_the_contract(name):
    report = check(name, steps=10, **FAST.get(name, {}))
    assert report.ok, report


def test_an_energy_of_labels_and_reals_keeps_the_contract():
    data = mixed()[["x", "member", "colour"]]
    report = check("energy", steps=10, hidden=(8,), chains=32, temperatures=30, data=data, seconds=40)
    assert report.ok, report


def test_the_battery_provokes_every_class_of_failure():
    report = check("mixture", steps=4, components=2)
    said = {verdict.clause: verdict for verdict in report.verdicts}
    provoked = ("damage is found", "one writer at a time", "divergence is told", "unreachable evidence is told")
    for clause in (*provoked, "a full disk is told"):
        assert said[clause].outcome == "ok", report
    told = " ".join(verdict.detail for verdict in report.verdicts)
    for word in ("CorruptFileError", "RunBusyError", "Diverged", "UnreliableError", "ResourceError"):
        assert word in told


@pytest.mark.parametrize(
    "place, clause",
    [
        ("fcntl.flock", "one writer at a time"),
        ("genprob.sealed.check", "damage is found"),
        ("genprob.atomic.require_space", "a full disk is told"),
    ],
)
def test_a_guard_that_is_gone_is_noticed(place, clause, monkeypatch):
    monkeypatch.setattr(place, lambda *_: None)
    said = {verdict.clause: verdict.outcome for verdict in check("mixture", steps=4, components=2).verdicts}
    assert said[clause] == "fail"
