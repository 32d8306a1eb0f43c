"""Labels along event dims: from the data through schema, run and every result; data are taken in their order."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import genprob
from genprob.data.infer import infer_schema
from genprob.data.schema import Schema, Variable
from genprob.data.schema_file import from_toml, to_toml
from genprob.data.support import Real
from genprob.errors import DataError, UsageError

LABELS = {
    "y": np.array([0.5, 1.0, 1.5]),
    "x": np.array(["left", 'of "both"']),
    "time": pd.date_range("2024-01-01", periods=2, unit="us").values,
}


def data(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "image": (("row", "y", "x"), rng.normal(size=(rows, 3, 2)) + np.arange(6).reshape(3, 2)),
            "level": (("row", "time"), rng.normal(size=(rows, 2))),
        },
        coords=LABELS,
    )


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    out = tmp_path_factory.mktemp("coordinates") / "run"
    genprob.fit(data(), "mixture", components=1, out=out)
    return genprob.load(out)


def has(dataset, *dims):
    assert {str(d) for d in dataset.coords if d in LABELS} == {*dims}
    for dim in dims:
        assert dataset[dim].values.tolist() == LABELS[dim].tolist()
        assert dataset[dim].dtype.kind == LABELS[dim].dtype.kind


def test_a_schema_and_its_file_keep_them():
    schema = infer_schema(data())
    assert from_toml(to_toml(schema)) == schema
    assert {dim: labels.tolist() for dim, labels in schema.labels.items()} == {d: v.tolist() for d, v in LABELS.items()}
    assert schema.modelled.coords == schema.coords
    bare = infer_schema(data().drop_vars(["y", "x", "time"]))
    assert bare.coords == () and "[coords]" not in to_toml(bare)


def test_what_is_no_list_of_labels_is_left_out():
    odd = data().assign_coords(y=[0.5, np.nan, 1.5], time=pd.to_timedelta([1, 2], unit="s"))
    assert infer_schema(odd).coords == (("x", tuple(LABELS["x"].tolist())),)


def test_a_stated_schema_without_labels_takes_the_data_s():
    stated = infer_schema(data().drop_vars(["y", "x", "time"]))
    assert infer_schema(data(), stated).coords == infer_schema(data()).coords


def test_draws_and_answers_have_them_in_memory_and_on_disk(joint, tmp_path):
    has(joint.sample(3), "y", "x", "time")
    given = {"level": data()["level"].values[0]}
    answer = joint.query(["image"], given, draws=5, out=tmp_path / "a.nc")
    batch = data(3).assign(image=data(3)["image"].where(data(3)["y"] > 1))
    many = joint.query(rows=batch, draws=4, out=tmp_path / "b.nc")
    for tree in (answer, genprob.open(tmp_path / "a.nc")):
        for group in ("posterior", "marginals", "prior"):
            has(tree[group].to_dataset(), "y", "x")
        has(tree["observed_data"].to_dataset(), "time")
    for tree in (many, genprob.open(tmp_path / "b.nc")):
        has(tree["posterior"].to_dataset(), "y", "x")
        has(tree["observed_data"].to_dataset(), "y", "x", "time")
    whole = xr.open_dataset(tmp_path / "a.nc", group="posterior", engine="h5netcdf")
    assert whole["image"].sel(y=1.0, x="left").shape == (1, 5)


def test_data_are_taken_in_the_order_of_the_labels(joint):
    rows = data(8, seed=3)
    told = joint.log_prob(rows)["log_prob"].values
    turned = rows.isel(y=[2, 0, 1], x=[1, 0])
    assert np.array_equal(joint.log_prob(turned)["log_prob"].values, told)
    assert not np.allclose(joint.log_prob(turned.drop_vars(["y", "x"]))["log_prob"].values, told)
    nearly = rows.assign_coords(y=(LABELS["y"] * (1 + 1e-9)).astype(np.float32))
    assert np.array_equal(joint.log_prob(nearly)["log_prob"].values, told)


def test_other_places_are_refused(joint):
    with pytest.raises(DataError, match=r"'image' has no place 1.5 along dim 'y'.* 0.5, 1.0, 2.0"):
        joint.log_prob(data(4).assign_coords(y=[0.5, 1.0, 2.0]))


def test_labels_of_another_number_than_the_dim_are_refused():
    with pytest.raises(UsageError, match="dim 'y' has 2 labels"):
        Schema((Variable("a", Real(), dims=("y",), shape=(3,)),), coords=(("y", (1, 2)),))
    text = to_toml(infer_schema(data()))
    for wrong in ("y = [1, 'a', 2]", "y = []", "y = 5", "y = [1.5, 2.5]"):
        with pytest.raises(UsageError, match=r"mine.toml.*'y'"):
            from_toml(text.replace("y = [0.5, 1.0, 1.5]", wrong), "mine.toml")


def test_a_strip_between_two_images_has_them():
    from genprob.questions.codes import interpolate, plane

    fitted = genprob.fit(data(), "vae", steps=1, latent=2, hidden=(4,))
    for space in ("code", "data"):
        has(interpolate(fitted, data(2), steps=3, space=space), "y", "x", "time")
    has(plane(fitted, steps=2), "y", "x", "time")


def test_given_arrays_with_labels_are_put_in_order(joint):
    level, image = data(1, seed=9)["level"][0], data(1, seed=9)["image"][0]
    mask = image.copy(data=np.array([[True, False], [False, False], [True, True]]))

    def mean(level, image, mask):
        answer = joint.query(["image"], {"level": level, "image": genprob.Masked(image, mask)}, draws=20)
        return answer["marginals"]["image_mean"].values

    plain = mean(level.values, image.values, mask.values)
    turned = image.isel(y=[1, 2, 0]).transpose("x", "y")
    assert np.array_equal(mean(level[::-1], turned, mask.isel(x=[1, 0])), plain)
    assert not np.array_equal(mean(level.values[::-1], image.values, mask.values), plain)
    with pytest.raises(UsageError, match=r"'image': the mask has no place 0.5 along dim 'y'"):
        mean(level, image, mask.assign_coords(y=[7.0, 8.0, 9.0]))
    with pytest.raises(UsageError, match=r"'level': the given value has no place 2024-01-01"):
        joint.query(["image"], {"level": level.assign_coords(time=level["time"] + np.timedelta64(1, "D"))})
