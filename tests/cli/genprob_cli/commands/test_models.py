"""`genprob models NAME`: options, and what the model itself takes for its inference."""

import json

import pytest

from genprob_cli import app


def document(capsys, *words: str) -> dict:
    assert app.run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def recipe(found: dict, inference: str) -> dict:
    return {o["name"]: o["recipe"] for o in found["inferences"][inference] if "recipe" in o}


@pytest.mark.parametrize(("name", "rate"), [("anyorder", 1e-3), ("flow", 3e-3), ("made", 3e-3)])
def test_the_recipe_of_a_model_is_told_beside_the_defaults(name, rate, capsys):
    taken = recipe(document(capsys, "models", name), "ml")
    assert taken["lr"] == rate
    assert taken["steps"] >= 500


def test_what_is_told_is_what_a_fit_would_take(capsys):
    from genprob_cli.commands.models import _ROWS

    taken = recipe(document(capsys, "models", "anyorder"), "ml")
    assert taken["steps"] == 150 * -(-_ROWS // 512)
    assert app.run(["models", "anyorder"]) == 0
    assert f"of {_ROWS} rows" in capsys.readouterr().out


def test_a_model_that_recommends_nothing_has_no_such_column(capsys):
    assert not recipe(document(capsys, "models", "mixture"), "elbo")
    assert app.run(["models", "mixture"]) == 0
    assert "here, of" not in capsys.readouterr().out
