"""What a fit is asked to do: a configuration file, overruled by options."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genprob.errors import UsageError

KEYS = ("model", "inference", "seed", "steps", "device", "schema", "options")
RECORDED = ("data", "rows", "provenance", "choice")
"""What a run's `config.json` holds besides: it is no setting, and is passed over."""
_INFERENCE = "inference."


def read_config(path: Path) -> dict[str, Any]:
    """A TOML or JSON file with some of `KEYS`; a run's own `config.json` repeats its fit.

    Raises `UsageError` for a file that can not be read and for keys that are no settings.
    """
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"config {path}: can not be read: {error.strerror}") from error
    except ValueError as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise UsageError(f"config {path}: is not {kind}: {error}") from error
    unknown = [key for key in config if key not in KEYS + RECORDED] if isinstance(config, dict) else ["[...]"]
    if unknown:
        raise UsageError(f"config {path}: {unknown[0]!r} is no setting; there are {', '.join(KEYS)}")
    return {key: value for key, value in config.items() if key in KEYS}


def settle(config: dict[str, Any], first: str, inference: str | None, words: Sequence[str]) -> dict[str, Any]:
    """The configuration after `--inference NAME` and `--set k=v`, `--set inference.k=v`; texts are read by `fit`.

    Arguments:
        config: what a file said; left as it is.
        first: the inference whose options are meant where none is named.
        inference: the name that overrules the file's, or None.
        words: the `k=v` texts.
    """
    said = config.get("inference")
    method = {"name": said} if isinstance(said, str) else dict(said or {})
    if inference is not None and method.get("name") != inference:
        method = {"name": inference}
    options = dict(config.get("options") or {})
    for word in words:
        name, value = assignment(word, "--set", "OPTION=VALUE", "--set components=30 or --set inference.lr=1e-3")
        if name.startswith(_INFERENCE):
            method.setdefault("name", first)
            method[name.removeprefix(_INFERENCE)] = value
        else:
            options[name] = value
    return config | {"inference": method or None, "options": options}


def assignment(word: str, option: str, form: str, example: str) -> tuple[str, str]:
    """The two sides of `--set OPTION=VALUE` and its like; `UsageError` with form and example where there are none."""
    name, equals, value = word.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} {word!r}: expected {form}, e.g. {example}")
    return name.strip(), value
