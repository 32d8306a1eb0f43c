import numpy as np
import pytest
import xarray as xr

from genprob.errors import UsageError
from genprob.metrics.figure import best, compared, draw_comparison


def tree(better="lower"):
    values = np.array([0.3, 0.2, 0.5])
    difference = values[:, None] - values
    pair = ("joint", "other")
    group = xr.Dataset(
        {
            "crps": ("joint", values, {"better": better, "units": "sd"}),
            "crps_difference": (pair, difference),
            "crps_low": (pair, difference - 0.1),
            "crps_high": (pair, difference + 0.1),
            "p_value": ("joint", values, {"better": "small", "units": ""}),
        },
        {"joint": ["a", "b", "c"], "other": ["a", "b", "c"]},
    )
    return xr.DataTree.from_dict({"/masked": group})


def test_the_best_depends_on_the_direction():
    assert best(tree()["masked"].to_dataset(), "crps") == 1
    assert best(tree("higher")["masked"].to_dataset(), "crps") == 2
    assert compared(tree()["masked"].to_dataset()) == ["crps"]


def test_a_joint_without_a_value_is_not_the_best():
    ds = tree()["masked"].to_dataset()
    ds["crps"].values[1] = np.nan
    assert best(ds, "crps") == 0


@pytest.mark.parametrize("form, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_written(tmp_path, form, head):
    out = draw_comparison(tree(), tmp_path / f"a.{form}")
    assert out.read_bytes().startswith(head)


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.svg"):
        draw_comparison(tree(), tmp_path / "a.jpg")
    bare = xr.DataTree.from_dict({"/m": tree()["masked"].to_dataset()[["p_value"]]})
    with pytest.raises(UsageError, match="no differences"):
        draw_comparison(bare, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
