"""Scoring by a likelihood that a model brings itself."""

import math

import numpy as np
import pytest
import torch

import genprob
from genprob.data.batch import Batch
from genprob.errors import UsageError
from genprob.query.batch import POINT
from genprob.query.log_evidence import LogEvidence


class Coins(genprob.Model):
    """Independent fair coins whose log-partition function is known up to an error, bounded from below."""

    inferences = ("ml",)

    def __init__(self, schema, *, kind: str = "lower_bound", slack: float = 0.0):
        super().__init__(schema)
        self.kind, self.slack = kind, slack
        self.level = torch.nn.Parameter(torch.zeros(()))

    def log_density(self, batch: Batch):
        return -self.level.square().expand(len(batch))

    def log_evidence(self, queries):
        known = (queries.kind == POINT).sum(1)
        value = -math.log(2) * known - self.slack * (known > 0)
        return LogEvidence(value, np.zeros(len(queries)), self.kind, "coins", partition_error=0.25)


ROWS = {"a": [0, 1, 1, 0, 1, 0], "b": [1, 1, 0, 0, 1, 0]}


@pytest.fixture(scope="module")
def joint():
    return genprob.fit(ROWS, Coins, steps=2, schema={"a": "binary", "b": "binary"})


def test_a_models_own_word_is_taken_with_its_kind_law_and_shared_error(joint):
    scored = joint.log_prob(ROWS)
    np.testing.assert_allclose(scored["log_prob"], -2 * math.log(2))
    assert (scored.attrs["kind"], scored.attrs["law"]) == ("lower_bound", "coins")
    assert scored.attrs["log_partition_se"] == 0.25


def test_a_conditional_is_a_difference_in_which_the_partition_function_cancels(joint):
    scored = joint.conditional_log_prob(ROWS, given=["a"])
    np.testing.assert_allclose(scored["log_prob"], -math.log(2))
    assert scored.attrs["kind"] == "estimate" and scored.attrs["log_partition_se"] == 0


def test_holes_are_left_out(joint):
    assert joint.log_prob({"a": [1, 0], "b": [None, 1]})["log_prob"].values.tolist() == pytest.approx(
        [-math.log(2), -2 * math.log(2)]
    )


class Mute(Coins):
    log_evidence = None  # pyright: ignore[reportAssignmentType]


def test_a_model_without_a_likelihood_names_what_can_be_done_instead():
    joint = genprob.fit(ROWS, Mute, steps=1, schema={"a": "binary", "b": "binary"})
    with pytest.raises(UsageError, match=r"Mute has no log-probability.*two_sample"):
        joint.log_prob(ROWS)
