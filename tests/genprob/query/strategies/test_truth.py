"""Every strategy on every kind of evidence of the reference joints: its error is what it claims."""

from functools import cache

import numpy as np
import pytest

from genprob.query.batch import QueryBatch
from genprob.testing import references
from genprob.testing.questions import KINDS, QUESTIONS

STRATEGIES = ("enumeration", "importance", "smc", "rejection")
SMALL = ("gaussian", "gaussian-mixture", "circuit", "chest-clinic", "rbm", "rbm-array", "two-moons")
CASES = [(name, kind) for name in SMALL for kind in QUESTIONS[name]]
FINITE = {"chest-clinic", "rbm", "rbm-array"}


@cache
def truth(name, kind):
    """The question, its exact log-evidence, and means with what is left of their own error."""
    reference, given = references()[name], QUESTIONS[name][kind]
    queries = QueryBatch.from_evidence(reference.schema, [given])
    drawn = reference.conditional(queries, 8000, 11)
    return queries, float(reference.log_evidence(queries)[0]), drawn.mean(0), drawn.std(0) / np.sqrt(8000)


def test_every_kind_is_asked_of_some_joint():
    assert {kind for _, kind in CASES} == set(KINDS)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name, kind", CASES)
def test_errors_are_as_claimed(name, kind, strategy):
    reference = references()[name]
    joint = reference.as_joint()
    queries, log_evidence, mean, error = truth(name, kind)
    offers = {w.strategy: w for w in joint.explain(None, QUESTIONS[name][kind]).offers}
    assert offers[strategy].offered == (strategy != "enumeration" or name in FINITE), offers[strategy].reason
    if not offers[strategy].offered:
        return
    budget = None if strategy == "rejection" else 512
    answer = joint.query(None, QUESTIONS[name][kind], draws=400, seed=3, strategy=strategy, budget=budget)
    assert answer.attrs["guarantee"] == ("exact" if strategy == "enumeration" else "consistent")
    claimed = answer.attrs["log_evidence_se"]
    assert abs(answer.attrs["log_evidence"] - log_evidence) < 4.5 * claimed + 1e-9 < 1.5
    for target in queries.targets:
        if reference.schema[target].support.kind == "categorical":
            continue
        columns = reference.schema.slices[target]
        asked = queries.asked[0, columns]
        found, mcse = (np.ravel(answer["marginals"][f"{target}_{k}"])[asked] for k in ("mean", "mcse"))
        off = np.abs(found - mean[columns][asked])
        assert (off < 4.5 * np.hypot(mcse, error[columns][asked]) + 1e-9).all(), target
