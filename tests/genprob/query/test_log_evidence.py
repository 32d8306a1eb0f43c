"""Log-evidences: what their difference is, and what a batch of parts is."""

import numpy as np
import pytest

from genprob.query.log_evidence import LogEvidence, gathered


def evidence(kind: str, value: float = 0.0, error: float = 0.0, partition: float = 0.0) -> LogEvidence:
    return LogEvidence(np.array([value]), np.array([error]), kind, partition_error=partition)


@pytest.mark.parametrize(
    ("above", "below", "kind"),
    [
        ("exact", "exact", "exact"),
        ("lower_bound", "exact", "lower_bound"),
        ("exact", "lower_bound", "upper_bound"),
        ("lower_bound", "upper_bound", "lower_bound"),
        ("lower_bound", "lower_bound", "estimate"),
        ("estimate", "exact", "estimate"),
    ],
)
def test_a_difference_is_a_bound_only_where_both_sides_make_it_one(above, below, kind):
    assert evidence(above).less(evidence(below)).kind == kind


def test_errors_of_a_difference_add_in_squares_and_the_partition_function_cancels():
    rest = evidence("estimate", -3.0, 0.3, partition=0.5).less(evidence("estimate", -1.0, 0.4, partition=0.5))
    assert rest.value[0] == -2.0 and rest.error[0] == pytest.approx(0.5)
    assert rest.partition_error == 0.0


def test_parts_keep_their_order_and_the_shared_error_is_not_averaged():
    whole = gathered([evidence("exact", -1.0), evidence("estimate", -2.0, 0.1, partition=0.7)])
    assert whole.value.tolist() == [-1.0, -2.0] and whole.kind == "estimate"
    assert whole.partition_error == 0.7
