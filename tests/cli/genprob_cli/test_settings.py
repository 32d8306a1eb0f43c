from __future__ import annotations

import json

import pytest

from genprob import plugins
from genprob.errors import UsageError
from genprob.spec import InferenceSpec, ModelSpec
from genprob_cli.settings import read_config, settle


def family(schema, *, components: int = 3, hidden: tuple[int, ...] = (), diagonal: bool = False): ...


def slow(model, *, lr: float = 0.1, steps: int = 10): ...


def quick(model, *, tolerance: float = 1e-3): ...


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    here = {f"here:{f.__name__}": f for f in (family, slow, quick)}
    found = {
        ("model", "family"): ModelSpec("family", "here:family", "", ("slow", "quick")),
        ("inference", "slow"): InferenceSpec("slow", "here:slow", ""),
        ("inference", "quick"): InferenceSpec("quick", "here:quick", ""),
    }
    monkeypatch.setattr(plugins, "find", lambda kind, name: found[kind, name])
    monkeypatch.setattr(plugins, "resolve", lambda reference, enabled=False: here[reference])


def test_texts_become_values_by_signature():
    said = settle({}, "family", None, ["components=30", "hidden=64,32", "diagonal=yes", "inference.lr=1e-3"])
    assert said == {
        "options": {"components": 30, "hidden": (64, 32), "diagonal": True},
        "inference": {"name": "slow", "lr": 1e-3},
    }


def test_the_inference_that_is_named_decides_its_options():
    assert settle({}, "family", "quick", ["inference.tolerance=0.5"])["inference"] == {
        "name": "quick",
        "tolerance": 0.5,
    }
    with pytest.raises(UsageError, match="no option 'lr'; known: tolerance"):
        settle({}, "family", "quick", ["inference.lr=0.5"])


def test_options_overrule_the_file():
    config = {"model": "family", "inference": {"name": "slow", "lr": 0.2, "steps": 5}, "options": {"components": 9}}
    said = settle(config, "family", None, ["inference.lr=0.3", "diagonal=1"])
    assert said["inference"] == {"name": "slow", "lr": 0.3, "steps": 5}
    assert said["options"] == {"components": 9, "diagonal": True}
    assert settle(config, "family", "quick", [])["inference"] == {"name": "quick"}
    assert config["options"] == {"components": 9}


def test_nothing_said_is_nothing_settled():
    assert settle({}, "family", None, []) == {"inference": None, "options": {}}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("componets=3", "no option 'componets'; did you mean 'components'"),
        ("components=many", "option components='many': expected int"),
        ("inference.lr=x", "option lr='x': expected float"),
        ("components", "expected OPTION=VALUE"),
        ("=3", "expected OPTION=VALUE"),
    ],
)
def test_words_that_can_not_be_meant(word, message):
    with pytest.raises(UsageError) as caught:
        settle({}, "family", None, [word])
    assert message in str(caught.value)


def test_a_file_in_toml_or_json(tmp_path):
    toml, recorded = tmp_path / "fit.toml", tmp_path / "config.json"
    toml.write_text('model = "family"\nseed = 3\n[options]\ncomponents = 9\n')
    assert read_config(toml) == {"model": "family", "seed": 3, "options": {"components": 9}}
    recorded.write_text(json.dumps({"model": "family", "data": "abc", "rows": 3, "provenance": {}}))
    assert read_config(recorded) == {"model": "family"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "modl = 3", "'modl' is no setting; there are model"),
        ("a.toml", "model = ", "is not TOML"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[1]", "is no setting"),
    ],
)
def test_files_that_can_not_be_meant(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_config(file)
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="can not be read"):
        read_config(tmp_path / "absent.toml")
