"""Pictures appear whole, need no display and leave matplotlib's global state alone."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from genprob.errors import UsageError
from genprob.results.answer import answer_tree
from genprob.results.plot import KINDS, plot, plot_history


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sheet"])
@pytest.mark.parametrize("single", [True, False])
def test_every_kind_draws_something(make_answer, tmp_path, kind, single):
    tree = answer_tree(make_answer(queries=1 if single else 3, single=single, size=100))
    out = plot(tree, tmp_path / "a.png", kind)
    image = pixels(out)
    blue = (image[..., 2] > image[..., 0] + 0.2).mean()
    assert blue > 0.005
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_prior_is_drawn_where_there_is_one(make_answer, tmp_path):
    def grey(prior):
        answer = make_answer(queries=1, single=True, prior=prior, targets=("cut",))
        image = pixels(plot(answer_tree(answer), tmp_path / "a.png"))
        return (np.abs(image - 0.725).max(-1) < 0.02).mean()

    assert grey(True) > 0.05 > grey(False)


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_other_forms(make_answer, tmp_path, form):
    out = plot(answer_tree(make_answer(targets=("price",))), tmp_path / f"a.{form}")
    assert out.read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_odd_draws(make_answer, tmp_path):
    answer = make_answer(queries=1, single=True)
    constant = np.zeros_like(answer.values)
    missing = np.full_like(answer.values, np.nan)
    for values in (constant, missing):
        tree = answer_tree(make_answer(queries=1, single=True, values=values, targets=("price", "cut", "n", "day")))
        plot(tree, tmp_path / "a.png")


def test_what_cannot_be_drawn(make_answer, tmp_path):
    tree = answer_tree(make_answer(targets=("cut",)))
    out = tmp_path / "a.png"
    for options, reason in (
        ({"kind": "odd"}, "marginals, pairs, chains"),
        ({"kind": "pairs"}, "two scalar"),
        ({"kind": "chains"}, "scalar numeric"),
        ({"query": 3}, "0 to 2"),
    ):
        with pytest.raises(UsageError, match=reason):
            plot(tree, out, **options)
    with pytest.raises(UsageError, match=r"a\.gif: pictures are written as"):
        plot(tree, tmp_path / "a.gif")
    with pytest.raises(UsageError, match="no posterior"):
        plot(xr.DataTree(), out)
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_history([{"step": 1, "loss": 1.0}], out)
    assert not list(tmp_path.iterdir())


def test_history(tmp_path):
    events = [{"step": i, "loss": 1 / i, "phase": "a", "odd": np.nan} for i in range(1, 50)]
    image = pixels(plot_history(events, tmp_path / "h.png", "runs/a"))
    assert (image[..., 2] > image[..., 0] + 0.2).any()


def test_no_global_state(tmp_path):
    code = (
        "import sys; from genprob.results.plot import plot_history; assert 'matplotlib' not in sys.modules\n"
        f"plot_history([{{'step': i, 'loss': i}} for i in range(3)], {str(tmp_path / 'a.png')!r})\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
