"""The worst of a batch does not depend on how the batch was cut."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genprob.results.worst import Worst

words = st.sampled_from(["ok", "fail", "unknown"])
numbers = st.floats(allow_infinity=False)
rows = st.lists(st.tuples(numbers, numbers, words, st.integers(0, 1)), min_size=1, max_size=12)


def statistics(rows):
    ess, rhat, word, reliable = zip(*rows, strict=True)
    return {"ess": np.array(ess), "rhat": np.array(rhat), "support": list(word), "reliable": np.array(reliable)}


@given(rows=rows, cut=st.integers(0, 12))
def test_of_parts_as_of_the_whole(rows, cut):
    whole, parts = Worst(), Worst()
    whole.add(statistics(rows))
    for piece in (rows[:cut], rows[cut:]):
        if piece:
            parts.add(statistics(piece))
    for name, value in whole.attrs().items():
        other = parts.attrs()[name]
        assert value == other or (math.isnan(value) and math.isnan(other))
    known = [row[0] for row in rows if not math.isnan(row[0])]
    assert whole.attrs()["ess"] == min(known) if known else math.isnan(whole.attrs()["ess"])
    assert (whole.queries, whole.reliable) == (parts.queries, parts.reliable) == (len(rows), sum(r[3] for r in rows))


def test_an_unknown_word_is_not_hidden():
    worst = Worst()
    worst.add({"support": ["ok", "odd", "fail"]})
    assert worst.attrs()["support"] == "odd"


def test_reasons_are_counted_and_bounded():
    worst = Worst()
    worst.add({"reasons": ["a"] * 3 + [""] * 2})
    assert worst.attrs()["reasons"] == "a (3 of 5 queries)"
    worst.add({"reasons": [f"r{i}" for i in range(10_000)]})
    assert "other reasons" in worst.attrs()["reasons"] and len(worst.attrs()["reasons"]) < 400


def test_the_reasons_of_one_query_stand_alone():
    worst = Worst()
    worst.add({"reasons": "because", "ess": 5.0})
    assert worst.attrs()["reasons"] == "because"
