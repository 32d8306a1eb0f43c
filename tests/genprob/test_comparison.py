import numpy as np
import pytest
import xarray as xr

import genprob
from genprob.comparison import compare, summary
from genprob.errors import UsageError

REAL = {"x": "real", "y": "real"}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return {"x": x, "y": 0.8 * x + 0.6 * rng.standard_normal(n)}


@pytest.fixture(scope="module")
def full():
    return genprob.fit(rows(400, 0), schema=REAL, components=1)


@pytest.fixture(scope="module")
def poor():
    """Fitted to rows without their tie."""
    data = rows(400, 0)
    return genprob.fit(
        {"x": data["x"], "y": np.random.default_rng(1).permutation(data["y"])}, schema=REAL, components=1
    )


class Altered:
    """A joint whose log-probabilities say something else of themselves."""

    def __init__(self, joint, **attrs):
        self.joint, self.attrs = joint, attrs

    def __getattr__(self, name):
        return getattr(self.joint, name)

    def log_prob(self, data, seed=0):
        return self.joint.log_prob(data, seed=seed).assign_attrs(self.attrs)


def test_differences_are_paired_and_labelled(full, poor):
    tree = compare({"full": full, "poor": poor}, rows(300, 2), rows=100, draws=20, resamples=300)
    ds = tree["log_likelihood"].to_dataset()
    assert ds["joint"].values.tolist() == ds["other"].values.tolist() == ["full", "poor"]
    own = [joint.log_prob(rows(300, 2))["log_prob"].values for joint in (full, poor)]
    at = {"joint": "full", "other": "poor"}
    assert float(ds["log_likelihood_difference"].sel(at)) == pytest.approx((own[0] - own[1]).mean())
    low, high = (float(ds[f"log_likelihood_{end}"].sel(at)) for end in ("low", "high"))
    assert 0 < low < float(ds["log_likelihood_difference"].sel(at)) < high
    # A pairing of rows: much narrower than the two errors together.
    assert high - low < 4 * np.hypot(*ds["log_likelihood_se"].values)
    swapped = ds.sel(joint="poor", other="full")
    assert float(swapped["log_likelihood_low"]) == -high and float(swapped["log_likelihood_high"]) == -low
    assert float(ds["log_likelihood_difference"].sel(joint="full", other="full")) == 0
    masked = tree["masked"].to_dataset()
    assert float(masked["crps_high"].sel(at)) < 0 and masked["crps"].attrs["better"] == "lower"
    assert "cover_80_difference" not in tree["calibration"].to_dataset()
    assert tree.attrs["level"] == 0.95 and tree.attrs["resamples"] == 300 and tree.attrs["rows"] == 300


def test_intervals_cover_the_true_difference(full, poor):
    truth = compare([full, poor], rows(20_000, 3), "log_likelihood", resamples=20)
    expected = float(truth["log_likelihood"]["log_likelihood_difference"][0, 1])
    hits = 0
    for seed in range(60):
        ds = compare([full, poor], rows(80, 100 + seed), "log_likelihood", seed, resamples=200)["log_likelihood"]
        hits += float(ds["log_likelihood_low"][0, 1]) <= expected <= float(ds["log_likelihood_high"][0, 1])
    assert 51 <= hits <= 60


def test_a_joint_compared_with_its_like_whatever_the_order_of_variables(full):
    data = rows(400, 0)
    turned = genprob.fit({"y": data["y"], "x": data["x"]}, schema=REAL, components=1)
    assert turned.schema.names == ("y", "x") and full.schema.names == ("x", "y")
    ds = compare({"a": full, "b": turned}, rows(100, 4), ["log_likelihood", "masked"], resamples=50, draws=200)
    assert float(ds["log_likelihood"]["log_likelihood_difference"][0, 1]) == pytest.approx(0, abs=1e-3)
    masked = ds["masked"].to_dataset()
    assert abs(float(masked["crps_difference"][0, 1])) < 0.01
    by = masked["crps_by_variable"]
    assert by.values[0] == pytest.approx(by.values[1], abs=0.02) and by["variable"].values.tolist() == ["x", "y"]


def test_names(full, poor, tmp_path):
    kept = genprob.fit(rows(50, 5), schema=REAL, components=1, out=tmp_path / "mine")
    tree = compare([full, kept, poor], rows(30, 6), "log_likelihood", resamples=20)
    names = tree["log_likelihood"]["joint"].values.tolist()
    assert names[1] == "mine" and len(set(names)) == 3


def test_what_metrics_say_of_each_joint_is_kept_apart(full, poor):
    class Doubtful(Altered):
        def query(self, rows, draws, seed):
            tree = self.joint.query(rows=rows, draws=draws, seed=seed)
            stats = tree["sample_stats"].to_dataset()
            stats["computation"] = ("query", np.where(np.arange(stats.sizes["query"]) < 3, "fail", "ok"))
            groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
            return xr.DataTree.from_dict(groups | {"/sample_stats": stats})

    node = compare([full, Doubtful(poor)], rows(40, 7), "masked", draws=5, resamples=20)["masked"]
    assert node["failed"].values.tolist() == [0, 3] and node.attrs["draws"] == 5 and node.attrs["unanswered"] == 0


def test_a_figure_and_a_file(full, poor, tmp_path):
    from genprob.results.file import write

    tree = compare([full, poor], rows(40, 7), rows=20, draws=5, resamples=20, figure=tmp_path / "d.png")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    write(tree, tmp_path / "c.nc")
    assert genprob.open(tmp_path / "c.nc")["masked"]["crps_low"].dims == ("joint", "other")


def test_summary_tells_differences_from_the_best(full, poor):
    found = summary(compare({"full": full, "poor": poor}, rows(100, 8), ["log_likelihood", "two_sample"], resamples=50))
    mine = {row["joint"]: row for row in found if row["score"] == "log_likelihood"}
    assert mine["poor"]["best"] == "full" and mine["poor"]["high"] < 0 and mine["full"]["difference"] == 0
    assert all("best" not in row for row in found if row["metric"] == "two_sample")


@pytest.mark.parametrize(
    "attrs, words",
    [
        ({"kind": "lower_bound"}, "of kind exact in a and of kind lower_bound in b"),
        ({"measure": "x: cell(0.1); y: lebesgue"}, r"relative to x: lebesgue in a and to x: cell\(0.1\) in b"),
    ],
)
def test_kinds_and_measures_are_not_mixed(full, attrs, words):
    other = Altered(full, **attrs)
    with pytest.raises(UsageError, match=words) as caught:
        compare({"a": full, "b": other}, rows(20, 9), resamples=20)
    assert "masked" in str(caught.value)
    compare({"a": full, "b": other}, rows(20, 9), "masked", resamples=20, draws=5)


def test_rounded_reals_are_not_compared_with_true_ones(full):
    data = {name: values.round(1) for name, values in rows(200, 0).items()}
    cells = genprob.fit(data, components=1)
    assert cells.schema["x"].cell is not None
    with pytest.raises(UsageError, match=r"kind|relative to"):
        compare({"points": full, "cells": cells}, data, "log_likelihood")


def test_different_variables_are_refused(full):
    data = rows(50, 0)
    more = genprob.fit({**data, "z": data["x"] ** 2}, components=1)
    with pytest.raises(UsageError, match="'z' is in b and not in a"):
        compare({"a": full, "b": more}, data)
    counts = genprob.fit({"x": data["x"], "y": np.arange(50) % 7}, schema={"y": "count"}, components=1)
    with pytest.raises(UsageError, match="'y' is real in a and count in b"):
        compare({"a": full, "b": counts}, data)


@pytest.mark.parametrize(
    "settings, message", [({"resamples": 2}, "resamples"), ({"level": 1.0}, "level"), ({"drws": 1}, "draws")]
)
def test_what_cannot_be_meant(full, poor, settings, message):
    with pytest.raises(UsageError, match=message):
        compare([full, poor], rows(20, 0), "masked", **settings)
    with pytest.raises(UsageError, match="two joints"):
        compare([full], rows(20, 0))
