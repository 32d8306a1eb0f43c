"""Nearest rows against scikit-learn's, and a memoriser that is seen."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from genprob.errors import UsageError
from genprob.pictures import neighbours, plot_neighbours


@pytest.mark.parametrize("model", ["dae", "gsn"])
def test_the_neighbours_are_those_of_scikit_learn(joints, plane, images, model):
    data = images if model == "gsn" else plane
    found = neighbours(joints[model], data, draws=20, seed=3)
    names = ["image"] if model == "gsn" else ["x", "y"]
    rows = np.stack([np.asarray(data[n]).reshape(len(data[n]), -1) for n in names], -1).reshape(len(data[names[0]]), -1)
    sd = np.ones(rows.shape[1]) if model == "gsn" else rows.std(0, ddof=1)
    drawn = np.stack([found[n].values[0].reshape(20, -1) for n in names], -1).reshape(20, -1)
    # A binary is a label: two that differ are one apart.
    index = NearestNeighbors(n_neighbors=2).fit(rows / sd)
    distance, row = index.kneighbors(drawn / sd)
    assert np.allclose(found["distance"], distance[:, 0])
    if model == "dae":  # small images tie
        assert (found["row"].values == row[:, 0]).all()
        assert np.allclose(np.sort(found["distance_of_rows"]), np.sort(index.kneighbors(rows / sd)[0][:, 1]))
    nearest = np.stack([found[n].values[1].reshape(20, -1) for n in names], -1).reshape(20, -1)
    assert np.allclose(nearest, rows[found["row"].values])


def test_a_memoriser_is_at_no_distance(joints, plane, monkeypatch):
    joint = joints["mixture"]
    rows = np.stack([plane["x"], plane["y"]], 1)
    monkeypatch.setattr(joint.model, "draw", lambda draws: rows[:draws])
    found = neighbours(joint, plane, draws=50)
    assert (found["distance"].values < 1e-7).all() and (found["distance_of_rows"].values > 0).all()
    assert (found["row"].values == np.arange(50)).all()


def test_both_are_drawn(joints, plane, images, tmp_path):
    assert plot_neighbours(neighbours(joints["mixture"], plane, draws=30), tmp_path / "a.png").stat().st_size > 2000
    assert plot_neighbours(neighbours(joints["gsn"], images, draws=12), tmp_path / "b.png").stat().st_size > 2000


def test_one_row_has_no_neighbour(joints):
    with pytest.raises(UsageError, match="fewer than two rows"):
        neighbours(joints["mixture"], {"x": [0.1], "y": [0.2]})
