"""Checkpoints come back bit for bit, or not at all."""

import math
import string

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genprob.engine import checkpoint
from genprob.errors import CorruptFileError, ResourceError, UsageError

DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip


def same(one, other):
    """Equality of trees that tells types, NaN and the sign of zero apart."""
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor) or one.dtype != other.dtype or one.shape != other.shape:
            return False
        return one.untyped_storage().tolist() == other.untyped_storage().tolist()
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or (one != one and other != other))
    return one == other


tensors = st.builds(
    lambda dtype, shape, seed: torch.tensor(np.random.default_rng(seed).normal(size=shape) * 10).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(0, 99),
)
keys = st.one_of(
    st.text(string.ascii_lowercase + "./~$# _é\0", max_size=6), st.integers(-3, 3), st.just("__metadata__")
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
trees = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=st.dictionaries(keys, trees, max_size=4))
def test_round_trip(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("c") / "1"
    checkpoint.save(path, tree)
    assert same(tree, checkpoint.load(path))


def test_views_are_kept_and_aliases_stay_aliases(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    parameter = torch.nn.Parameter(torch.ones(2))
    tree = {
        "whole": base,
        "again": base,
        "transposed": base.t(),
        "row": base[1],
        "strided": base[:, ::2],
        "expanded": torch.ones(1).expand(3),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "parameter": parameter,
        "generator": torch.Generator().manual_seed(3).get_state(),
    }
    back = checkpoint.load(checkpoint.save(tmp_path / "1", tree))
    for name, tensor in tree.items():
        assert torch.equal(back[name], tensor), name
    assert back["whole"] is back["again"]
    back["row"].zero_()
    assert torch.equal(back["whole"], base)
    assert not back["parameter"].requires_grad


def test_loaded_tensors_outlive_the_files(tmp_path):
    path = checkpoint.save(tmp_path / "1", {"x": torch.arange(1000.0)})
    back = checkpoint.load(path)
    (path / checkpoint.TENSORS).write_bytes(b"")
    assert torch.equal(back["x"], torch.arange(1000.0))


@pytest.mark.parametrize("leaf", [object(), {1}, np.float64, b"x", np.zeros(2), {1.5: 2}, {True: 2}])
def test_what_cannot_be_kept_is_named(tmp_path, leaf):
    with pytest.raises(UsageError, match="/a/0"):
        checkpoint.save(tmp_path / "1", {"a": [leaf]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tensor", [torch.eye(2).to_sparse(), torch.empty(2, device="meta")])
def test_only_dense_tensors(tmp_path, tensor):
    with pytest.raises(UsageError, match="/a is a"):
        checkpoint.save(tmp_path / "1", {"a": tensor})


def test_any_damage_is_refused(tmp_path):
    path = checkpoint.save(tmp_path / "1", {"x": torch.arange(20.0), "n": 1.5, "s": "text"})
    rng = np.random.default_rng(0)
    for file in sorted(path.iterdir()):
        raw = file.read_bytes()
        for bit in rng.choice(8 * len(raw), 150, replace=False):
            altered = bytearray(raw)
            altered[bit // 8] ^= 1 << (bit % 8)
            file.write_bytes(altered)
            with pytest.raises(CorruptFileError, match="1/state"):
                checkpoint.load(path)
            with pytest.raises(CorruptFileError):
                checkpoint.verify(path)
        for size in rng.integers(0, len(raw), 10):
            file.write_bytes(raw[:size])
            with pytest.raises(CorruptFileError):
                checkpoint.load(path)
        file.unlink()
        with pytest.raises(CorruptFileError, match="missing"):
            checkpoint.load(path)
        file.write_bytes(raw)
    checkpoint.verify(path)


def test_files_of_two_checkpoints_are_not_mixed(tmp_path):
    one = checkpoint.save(tmp_path / "1", {"x": torch.zeros(3)})
    two = checkpoint.save(tmp_path / "2", {"x": torch.ones(3)})
    (one / checkpoint.TENSORS).write_bytes((two / checkpoint.TENSORS).read_bytes())
    with pytest.raises(CorruptFileError, match="altered"):
        checkpoint.load(one)


def test_what_the_disk_cannot_hold_is_refused_beforehand(tmp_path):
    path = checkpoint.save(tmp_path / "1", {"x": torch.zeros(3)})
    with pytest.raises(ResourceError, match="bytes are needed"):
        checkpoint.save(path, {"x": torch.zeros(1).expand(1 << 40)})
    assert torch.equal(checkpoint.load(path)["x"], torch.zeros(3))


@pytest.mark.parametrize("key", ["__metadata__", "", "/", "$tensor", "~n1"])
def test_keys_that_mean_something_to_the_format_come_back(key, tmp_path):
    tree = {key: torch.ones(2), "inner": {key: torch.zeros(1), "plain": 3}}
    back = checkpoint.load(checkpoint.save(tmp_path / "a", tree))
    assert list(back) == list(tree) and torch.equal(back[key], tree[key])
    assert list(back["inner"]) == [key, "plain"] and torch.equal(back["inner"][key], torch.zeros(1))
