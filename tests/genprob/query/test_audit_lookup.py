"""What an answer is told by the audit of its joint."""

import numpy as np
import pytest

from genprob.query.audit import Audit, Cell


def cell(queries: int, p: float, share: float = 0.5) -> Cell:
    return Cell(
        source="planted", strategy="smc", kind="points", share=share, queries=queries, failed=0, p_rank=p,
        p_evidence=1.0, p_density=1.0, p_variable=1.0, z_evidence=np.nan,
        coverage=(0.5, 0.8, 0.95), coverage_se=(0.0, 0.0, 0.0),
        shape=(0.05,) * 20, seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "asked", "status", "words"),
    [
        ((), ("smc", "points", 0.5), "unknown", "was not audited"),
        ((cell(200, 1.0),), ("smc", "ranges", 0.5), "unknown", "was not audited"),
        (
            (cell(12, 1e-9),),
            ("smc", "points", 0.5),
            "unknown",
            "too few questions like this (points) were asked of smc: 12",
        ),
        ((cell(200, 1.0),), ("smc", "points", 0.5), "ok", ""),
        ((cell(200, 1e-9),), ("smc", "points", 0.5), "fail", "the audit fails smc"),
        ((cell(200, 1e-9, 0.2), cell(200, 1.0, 0.8)), ("smc", "points", 0.7), "ok", ""),
        ((), ("smc", "nothing", 0.0), "ok", ""),
    ],
)
def test_the_nearest_cell_with_enough_questions_speaks(cells, asked, status, words):
    found, reason = Audit(cells).lookup(*asked)
    assert found == status and words in reason
