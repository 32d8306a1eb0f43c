"""Which model a fit takes where none is named."""

import numpy as np
import pytest

import genprob
from genprob import choice
from genprob.choice import Choice, choose, stated
from genprob.data.infer import infer_schema
from genprob.data.table import Table
from genprob.errors import UsageError


def table(rows: int, columns: int = 3, shape: tuple[int, ...] = ()) -> Table:
    rng = np.random.default_rng(0)
    ds = genprob.read({f"x{j}": rng.normal(size=(rows, *shape)) for j in range(columns)})
    return Table.from_dataset(infer_schema(ds), ds)


@pytest.mark.parametrize(
    ("rows", "columns", "shape", "model", "rival"),
    [
        (choice.LEAST_ROWS - 1, 3, (), "mixture", None),
        (choice.LEAST_ROWS, 3, (), "anyorder", "mixture"),
        (choice.LEAST_ROWS, choice.MOST_COLUMNS + 1, (), "mixture", None),
        (choice.LEAST_ROWS, 1, (2, 2), "mixture", None),
        (3, 1, (), "mixture", None),
        (30, choice.MOST_NUMBERS + 1, (), "mixture", None),
    ],
)
def test_rows_columns_and_arrays_decide(rows, columns, shape, model, rival):
    made = choose(table(rows, columns, shape))
    assert (made.model, made.rival) == (model, rival)
    assert made.why.startswith(f"model {model}") and "\n" not in made.why


def test_the_reason_names_the_other_model_where_it_is_worth_a_thought():
    assert "--model anyorder" in choose(table(2000)).why
    assert "anyorder" not in choose(table(100)).why


def test_many_numbers_are_said_to_be_slow():
    assert "--model vae" in choose(table(30, choice.MOST_NUMBERS + 1)).why
    assert "--model vae" in choose(table(30, 1, (30, 20))).why


def test_a_network_that_is_not_enabled_is_not_chosen(monkeypatch):
    monkeypatch.setattr(choice, "RIVAL", "nothing-of-that-name")
    assert choose(table(choice.LEAST_ROWS)).model == "mixture"


@pytest.mark.parametrize(
    ("options", "inference", "steps", "model"),
    [({"components": 3}, None, None, "mixture"), ({}, None, 10, "mixture"), ({}, "em", None, "mixture"),
     ({"hidden": 32}, None, None, "anyorder"), ({}, "ml", None, "anyorder")],
)  # fmt: skip
def test_what_is_said_of_the_fit_says_the_model(options, inference, steps, model):
    request = stated(options, inference, steps, 0)
    assert request is not None and request.model == model


def test_nothing_said_leaves_the_choice_to_the_data():
    assert stated({}, None, None, 0) is None


def test_what_no_model_knows_is_refused_in_the_default_models_words():
    with pytest.raises(UsageError, match="model 'mixture' has no option 'component'"):
        stated({"component": 3}, None, None, 0)


def test_a_choice_is_open_until_one_is_kept():
    record = {"why": "w", "rival": "mixture"}
    assert Choice.read({"model": "anyorder", "choice": record}) == Choice("anyorder", "w", "mixture")
    assert Choice.read({"model": "anyorder", "choice": record | {"kept": "anyorder"}}) is None
    assert Choice.read({"model": "mixture", "choice": {"why": "w", "rival": None}}) is None
    assert Choice.read({"model": "mixture"}) is None
