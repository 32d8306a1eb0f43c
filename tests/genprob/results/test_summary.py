"""The summary repeats the answer's numbers, as plain values."""

import json

import numpy as np
import pytest
import xarray as xr

from genprob.results import file
from genprob.results.answer import answer_tree
from genprob.results.summary import evidence_of, status, summary


def rows_of(tree, **options):
    rows = summary(tree, **options)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    return {(row.get("query"), row["variable"]): row for row in rows}


def test_numbers_and_categories(make_answer):
    answer = make_answer(queries=1, single=True)
    rows = rows_of(answer_tree(answer))
    price, m = rows[None, "price"], answer.marginals["price"]
    assert (price["mean"], price["sd"], price["mcse"]) == (m.mean[0], m.sd[0], m.mcse[0])
    assert (price["q05"], price["q50"], price["q95"]) == tuple(m.quantiles[0, [1, 3, 5]])
    assert price["unit"] == "USD"
    labels, p, errors = zip(*rows[None, "cut"]["probabilities"], strict=True)
    order = np.argsort(-answer.marginals["cut"].pmf[0], kind="stable")
    assert list(labels) == [answer.schema["cut"].support.levels[i] for i in order]
    assert p == tuple(answer.marginals["cut"].pmf[0, order]) and len(errors) == 3
    image = rows[None, "img"]
    assert image["shape"] == [2, 3] and image["mean_max"] == answer.marginals["img"].mean.max()
    assert rows[None, "day"]["mean"].startswith("19")


def test_a_batch_shows_its_first_queries(make_answer):
    tree = answer_tree(make_answer(queries=8))
    rows = rows_of(tree, first=2)
    assert {query for query, _ in rows} == {0, 1}
    assert rows[1, "price"]["mean"] == tree["marginals"]["price_mean"].values[1]


def test_without_marginals_the_draws_are_summarised(make_answer):
    answer = make_answer(queries=1, single=True, marginals={})
    price = rows_of(answer_tree(answer))[None, "price"]
    draws = answer.values[0, ..., 0]
    assert price["mean"] == pytest.approx(draws.mean()) and price["q95"] == pytest.approx(np.quantile(draws, 0.95))


def test_a_data_set():
    data = xr.Dataset(
        {
            "x": ("draw", [1.0, 3.0, np.nan]),
            "g": ("draw", np.array(["a", "b", "b"], dtype=object)),
            "d": ("draw", np.array(["2026-01-01", "2026-01-03", "NaT"], "M8[us]")),
            "e": ("draw", [np.nan] * 3),
        }
    )
    rows = rows_of(data)
    assert rows[None, "x"]["mean"] == 2.0 and rows[None, "x"]["sd"] == 1.0
    assert [p[:1] for p in rows[None, "g"]["probabilities"]] == [["b"], ["a"]]
    assert rows[None, "d"]["mean"] == "2026-01-02" and rows[None, "d"]["sd"] == 1.0
    assert rows[None, "e"]["mean"] is None


def test_status(make_answer, tmp_path):
    tree = answer_tree(make_answer(queries=1, single=True, reliable=np.array([1])))
    for form in (tree, file.open(file.write(tree, tmp_path / "a.nc"))):
        out = status(form)
        assert json.loads(json.dumps(out, allow_nan=False)) == out
        assert out["khat"] is None and out["reliable"] == 1 and out["reliable_share"] == 1.0
        assert out["targets"][0] == "price" and out["evidence"] == {"price": "300", "km/h": "0..1"}
        assert out["provenance"] == {"versions": {"genprob": "0"}}


def test_evidence_of_a_batch(make_answer):
    tree = answer_tree(make_answer())
    assert "evidence" not in status(tree)
    assert evidence_of(tree, 2) == {"price": "300", "km/h": "2..3"}
    assert evidence_of(answer_tree(make_answer(given=None)), 0) is None
