from __future__ import annotations

import json

import pytest

from genprob.errors import UsageError
from genprob_cli.settings import read_config, settle


def test_texts_go_to_the_model_or_to_the_inference():
    said = settle({}, "slow", None, ["components=30", "hidden=64,32", "inference.lr=1e-3", "note=a=b"])
    assert said == {
        "options": {"components": "30", "hidden": "64,32", "note": "a=b"},
        "inference": {"name": "slow", "lr": "1e-3"},
    }


def test_the_inference_that_is_named_is_meant():
    assert settle({}, "slow", "quick", ["inference.tolerance=0.5"])["inference"] == {
        "name": "quick",
        "tolerance": "0.5",
    }


def test_options_overrule_the_file():
    config = {"model": "family", "inference": {"name": "slow", "lr": 0.2, "steps": 5}, "options": {"components": 9}}
    said = settle(config, "other", None, ["inference.lr=0.3", "diagonal=1"])
    assert said["inference"] == {"name": "slow", "lr": "0.3", "steps": 5}
    assert said["options"] == {"components": 9, "diagonal": "1"}
    assert settle(config, "other", "quick", [])["inference"] == {"name": "quick"}
    assert config["options"] == {"components": 9}


def test_nothing_said_is_nothing_settled():
    assert settle({}, "slow", None, []) == {"inference": None, "options": {}}


@pytest.mark.parametrize("word", ["components", "=3"])
def test_words_that_can_not_be_meant(word):
    with pytest.raises(UsageError, match="expected OPTION=VALUE"):
        settle({}, "slow", None, [word])


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
