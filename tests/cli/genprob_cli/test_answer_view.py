"""What is said of an answer's trust."""

import pytest

from genprob_cli.answer_view import trust

SAID = {
    "queries": 1, "reliable": 1, "computation": "ok", "support": "ok", "calibration": "ok", "strategy": "importance",
    "guarantee": "consistent", "law": "joint", "ess": 1019.0, "khat": 0.2, "seconds": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("khat", "computation", "shown"),
    [(0.2, "ok", True), (2.4, "ok", False), (2.4, "fail", True), (0.9, "unknown", True)],
)
def test_a_tail_is_told_where_it_was_judged(khat, computation, shown):
    """With nearly equal weights a fitted tail means nothing, whatever number comes out."""
    text = trust(SAID | {"khat": khat, "computation": computation})
    assert ("k-hat" in text) == shown
    assert "ESS 1019" in text


def test_a_strategy_without_weights_has_no_tail():
    assert "k-hat" not in trust(SAID | {"khat": None})
