"""The line under an audit."""

import numpy as np
import pytest
import xarray as xr

from genprob_cli import audit_view


def cells(*verdicts: str) -> xr.Dataset:
    return xr.Dataset({"source": ("cell", ["planted"] * len(verdicts)), "verdict": ("cell", list(verdicts))})


@pytest.mark.parametrize(
    ("verdicts", "begins", "holds"),
    [
        (("ok", "ok"), "2 of 2 cells passed", "agree with the planted truths"),
        (("ok", "unknown"), "1 of 2 cells passed", "too few truths"),
        (("unknown", "unknown"), "2 cells, all with too few truths", "--queries"),
        (("ok", "fail", "unknown"), "1 of 3 cells FAIL", "not be called reliable"),
    ],
)
def test_the_verdict_reads_by_itself(verdicts, begins, holds):
    text = audit_view._overall(cells(*verdicts))
    assert text.startswith(begins)
    assert holds in text


def test_held_out_cells_do_not_count_as_failures_of_a_strategy():
    found = cells("ok", "fail").assign(source=("cell", np.array(["planted", "held_out"])))
    assert audit_view._overall(found).startswith("1 of 1 cells passed")
