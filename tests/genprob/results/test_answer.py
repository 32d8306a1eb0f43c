"""The labelled tree says what the arrays said, in the user's words."""

import json
import math

import numpy as np
import pytest
import xarray as xr

from genprob.results.answer import answer_tree
from genprob.results.record import QUANTILES

CONTRACT = {
    "strategy", "guarantee", "law", "ess", "khat", "rhat", "reliable", "computation", "support", "calibration",
    "reasons", "log_evidence", "log_evidence_se", "tries", "seconds",
}  # fmt: skip


def test_groups_dims_and_labels(make_answer):
    answer = make_answer()
    tree = answer_tree(answer)
    assert set(tree.children) == {"posterior", "marginals", "sample_stats", "query", "observed_data", "prior"}
    posterior = tree["posterior"]
    assert posterior["price"].dims == ("query", "chain", "draw")
    assert posterior["price"].attrs["units"] == "USD"
    np.testing.assert_array_equal(posterior["price"], answer.values[..., 0])
    levels = np.array(answer.schema["cut"].support.levels, dtype=object)
    np.testing.assert_array_equal(posterior["cut"], levels[answer.values[..., 1].astype(int)])
    assert posterior["n"].dtype == np.int64 and posterior["y"].dtype == np.int64
    assert posterior["day"].dtype.kind == "M"
    np.testing.assert_array_equal(
        posterior["img"].values, answer.values[..., answer.schema.slices["img"]].reshape(3, 2, 20, 2, 3)
    )
    assert tree["prior"]["price"].dims == ("chain", "draw")


def test_names_that_clash_or_cannot_be_kept(make_answer):
    tree = answer_tree(make_answer())
    # Its dimension y is the name of a variable, its dimension x is not.
    assert tree["posterior"]["img"].dims == ("query", "chain", "draw", "img_y", "x")
    assert tree["posterior"]["km_h"].attrs["long_name"] == "km/h"


def test_marginals(make_answer):
    answer = make_answer()
    m = answer_tree(answer)["marginals"]
    assert m["price_quantile"].dims == ("query", "quantile")
    np.testing.assert_array_equal(m["quantile"], QUANTILES)
    np.testing.assert_array_equal(m["price_mean"], answer.marginals["price"].mean)
    np.testing.assert_array_equal(m["img_sd"], answer.marginals["img"].sd)
    good = m["cut_pmf"].sel(level_cut="Very Good")
    np.testing.assert_array_equal(good, answer.marginals["cut"].pmf[:, 0])
    assert "cut_mean" not in m and m["cut_pmf_mcse"].dims == ("query", "level_cut")
    assert m["y_pmf"].dims == ("query", "level_y") and m["level_y"].values.tolist() == [0, 1]
    assert m["day_mean"].dtype.kind == "M" and m["day_sd"].attrs["units"] == "days"
    days = answer.marginals["day"].mean * 86_400e6
    np.testing.assert_allclose(m["day_mean"].values.astype("M8[us]").astype(np.int64), days, atol=1)


def test_a_single_query_has_no_query_dimension(make_answer):
    tree = answer_tree(make_answer(queries=1, single=True))
    assert all("query" not in node.dims for node in tree.subtree)
    assert tree["posterior"]["cut"].dims == ("chain", "draw")
    assert tree["marginals"]["price_mean"].dims == ()
    assert json.loads(str(tree["query"]["evidence"].values)) == {"price": "300", "km/h": "0..1"}
    assert set(tree["observed_data"].data_vars) == {"price", "cut", "n"}


def test_attributes_are_the_contracts_and_flat(make_answer):
    answer = make_answer(queries=1, single=True)
    attrs = answer_tree(answer).attrs
    assert set(attrs) >= CONTRACT
    assert all(type(value) in (str, int, float) for value in attrs.values())
    assert attrs["ess"] == answer.ess[0] and attrs["reliable"] in (0, 1) and math.isnan(attrs["khat"])
    assert attrs["reasons"] == "reason 0: ü" and attrs["tries"] == answer.tries[0]


def test_the_attributes_of_a_batch_are_the_worst(make_answer):
    answer = make_answer(
        computation=["ok", "fail", "unknown"],
        guarantee=["exact", "heuristic", "consistent"],
        reliable=np.array([1, 1, 0]),
    )
    attrs = answer_tree(answer).attrs
    assert (attrs["computation"], attrs["guarantee"], attrs["reliable"]) == ("fail", "heuristic", 0)
    assert attrs["rhat"] == answer.rhat.max() and attrs["ess"] == answer.ess.min()
    assert attrs["strategy"] == "importance, closed form"
    assert (attrs["queries"], attrs["reliable_queries"]) == (3, 2)
    np.testing.assert_array_equal(answer_tree(answer)["sample_stats"]["rhat"], answer.rhat)


def test_missing_cells(make_answer):
    answer = make_answer()
    values = answer.values.copy()
    values[0, 0, 0] = np.nan
    posterior = answer_tree(make_answer(values=values))["posterior"].isel(query=0, chain=0, draw=0)
    assert posterior["cut"].isnull() and np.isnan(posterior["n"].item()) and np.isnat(posterior["day"].values)


def test_observed_points(make_answer):
    observed = answer_tree(make_answer())["observed_data"]
    assert observed["n"].values.tolist()[0] == 3 and np.isnan(observed["n"].values[1:]).all()
    assert set(observed["cut"].values) <= {"Very Good", "Fair, so", "ünknown"}
    assert "observed_data" not in answer_tree(make_answer(observed=None)).children


@pytest.mark.parametrize("query", [0, 2])
def test_a_query_of_a_batch_reads_as_if_alone(make_answer, cut_answer, query):
    answer = make_answer()
    alone = answer_tree(cut_answer(answer, slice(query, query + 1)))
    for group in ("posterior", "marginals", "sample_stats"):
        xr.testing.assert_equal(
            answer_tree(answer)[group].to_dataset().isel(query=query, drop=True),
            alone[group].to_dataset().isel(query=0, drop=True),
        )
