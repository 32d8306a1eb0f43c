import io

import numpy as np
import pytest
import xarray as xr

from genprob.errors import UsageError
from genprob.evaluation import summary
from genprob_cli.render import show
from genprob_cli.scores import comparison_view, evaluation_view, settings


def test_settings_stay_texts_and_a_later_train_wins():
    assert settings(["draws=200", "masked.shares=0.5,1"], None) == {"draws": "200", "masked.shares": "0.5,1"}
    assert settings(None, "train.csv") == {"train": "train.csv"}
    assert settings(["train=other.csv"], "train.csv") == {"train": "other.csv"}


@pytest.mark.parametrize("word", ["draws", "=3", " =3"])
def test_what_is_no_setting(word):
    with pytest.raises(UsageError, match=r"masked\.draws=200"):
        settings([word], None)


def page(view):
    file = io.StringIO()
    show(view, file)
    return file.getvalue()


def test_queries_that_failed_are_told():
    one = xr.Dataset(attrs={"rows": 40, "failed": 3, "unanswered": 0})
    said = page(evaluation_view(xr.DataTree.from_dict({"/masked": one}), []))
    assert "masked: 3 of 40 queries were answered with failed diagnostics" in said and "no answer" not in said
    two = xr.Dataset({"unanswered": ("joint", [0, 2])}, {"joint": ["a", "b"]}, {"rows": 40, "failed": 0})
    tree = xr.DataTree.from_dict({"/masked": two})
    tree.attrs = {"level": 0.95, "notes": "b: log_likelihood is left out"}
    said = page(comparison_view(tree, []))
    assert "masked: 0, 2 of 40 queries had no answer (a, b)" in said and "left out" in said


def test_scores_of_chains_stand_side_by_side():
    attrs = {"units": "steps", "better": "lower", "kind": "estimate"}
    scores = {
        "return_time_by_chain": ("chain", [2.5, 7.25], attrs),
        "autocorrelation": (("chain", "lag"), [[0.5, 0.25], [0.125, 0.0]], attrs),
    }
    errors = {f"{name}_se": value[:2] for name, value in scores.items()}
    counts = {f"{name}_n": (value[0], np.ones(np.shape(value[1]), dtype=int)) for name, value in scores.items()}
    ds = xr.Dataset(scores | errors | counts, {"chain": ["own", "5 temperatures"], "lag": [1, 10]})
    tree = xr.DataTree.from_dict({"/mixing": ds})
    lines = [line.split("  ") for line in page(evaluation_view(tree, summary(tree))).splitlines()]
    words = [[word.strip() for word in line if word.strip()] for line in lines]
    assert ["chain", "return_time", "autocorrelation, lag 1", "autocorrelation, lag 10"] in words
    assert ["5 temperatures", "7.25", "0.125", "0"] in words
