"""The picture of an audit, and the bands in it."""

import numpy as np
import pytest
import xarray as xr

from genprob.errors import UsageError
from genprob.query.audit import Audit, Cell
from genprob.results.plot_audit import plot_audit


def cell(ranks: np.ndarray, p: float) -> Cell:
    shape = np.histogram(ranks, bins=20, range=(0, 100))[0] / len(ranks)
    blank = {"p_evidence": p, "p_density": p, "p_variable": p, "z_evidence": np.nan, "seconds": 0.0, "failed": 0}
    return Cell(
        source="planted", strategy="s", kind="points", share=0.5, queries=len(ranks), p_rank=p,
        coverage=(0.5, 0.8, 0.95), coverage_se=(0.01, 0.01, 0.01), shape=tuple(shape), **blank,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    even, low = rng.integers(0, 100, 200), rng.integers(0, 100, 200) ** 2 // 100
    return Audit((cell(even, 1.0), cell(low, 1e-9))).dataset()


def test_uniform_ranks_stay_in_the_band_and_skewed_ones_leave_it(cells):
    cumulated = cells["shape"].cumsum("bin").values
    inside = (cells["band_low"].values <= cumulated + 1e-9) & (cumulated - 1e-9 <= cells["band_high"].values)
    assert inside[0].all() and not inside[1].all()
    assert cells["band_low"].values[0, -1] == cells["band_high"].values[0, -1] == 1.0


def test_the_picture_is_drawn(cells, tmp_path):
    assert plot_audit(cells, tmp_path / "audit.png").stat().st_size > 5000


def test_what_is_no_audit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="only an audit"):
        plot_audit(xr.Dataset({"x": ("cell", [1.0])}), tmp_path / "audit.png")
