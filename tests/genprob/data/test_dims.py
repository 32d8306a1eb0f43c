import numpy as np
import pytest
import xarray as xr

from genprob.data.dims import require_dimension, sample_dimension
from genprob.errors import DataError, UsageError


def dataset(**dims: tuple[str, ...]) -> xr.Dataset:
    return xr.Dataset({name: (ds, np.zeros([{"t": 3, "k": 2, "j": 4}[d] for d in ds])) for name, ds in dims.items()})


def test_the_first_that_all_share():
    assert sample_dimension(dataset(a=("k", "t"), b=("t", "j"))) == "t"
    assert sample_dimension(dataset(a=("t", "k"), b=("k", "t"))) == "t"
    assert sample_dimension(dataset(a=("t", "k"), b=("k", "t")), "k") == "k"


def test_none_shared_names_both_sides():
    with pytest.raises(DataError, match=r"'a' \(dims t\) and 'b' \(dims k\)"):
        sample_dimension(dataset(a=("t",), b=("k",)))
    with pytest.raises(DataError, match="no dimension is shared by all"):
        sample_dimension(dataset(a=("t", "k"), b=("k", "j"), c=("t", "j")))
    with pytest.raises(DataError, match="no variable"):
        sample_dimension(xr.Dataset())


def test_a_wanted_one_must_be_there():
    assert require_dimension(dataset(a=("t", "k")), "k") == "k"
    with pytest.raises(UsageError, match="dimensions t, k"):
        require_dimension(dataset(a=("t", "k")), "row")
    with pytest.raises(DataError, match="'b' lack"):
        require_dimension(dataset(a=("t", "k"), b=("t",)), "k")
