"""Placement, seen without an accelerator: what is made on the default device never meets the batch's tensors.

Tensors that are made without a device are marked as the host's; an operation that mixes one of them with a tensor of
the fit's device is what CUDA refuses, and is refused here in its place.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

import genprob


class OnHost(torch.Tensor):
    """A tensor of the default device."""


class TwoDevices(TorchFunctionMode):
    """CUDA's rules: scalars and indices may come from the host, everything else must lie on one device.

    Attributes:
        mixed: what broke them, and where.
    """

    def __init__(self):
        super().__init__()
        self.mixed = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        tensors = list(_tensors((*args, *kwargs.values())))
        judged = tensors
        if name == "__getitem__":
            judged = tensors[:1] if not isinstance(tensors[0], OnHost) else tensors
        elif name == "__setitem__":
            judged = [t for t in (args[0], args[2]) if isinstance(t, torch.Tensor)]
        elif name in ("copy_", "to", "_foreach_copy_"):
            judged = []
        host = [t for t in judged if isinstance(t, OnHost) and t.dim() > 0]
        own = [t for t in judged if not isinstance(t, OnHost) and t.dim() > 0]
        if host and own:
            self.mixed.append(f"{name} in {_caller()}")
        with torch._C.DisableTorchFunctionSubclass():
            out = function(*args, **kwargs)
        if name in ("copy_", "__setitem__", "__set__") or "_foreach" in name:
            return out
        return _marked(out, self._on_host(name, args, kwargs, tensors))

    @staticmethod
    def _on_host(name, args, kwargs, tensors):
        """True for a result that was made without a device, of nothing that has one."""
        if name == "cpu":
            return True
        named = kwargs.get("device") is not None or any(isinstance(a, torch.device) for a in args)
        if name == "to":
            others = tensors[1:]
            on_host = isinstance(others[0], OnHost) if others else isinstance(tensors[0], OnHost) and not named
            return on_host and not any(a in ("cpu", "cuda") for a in args[1:] if isinstance(a, str))
        arrays = [t for t in tensors if t.dim() > 0] or tensors
        return all(isinstance(t, OnHost) for t in arrays) and not named


def _tensors(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _marked(out, on_host):
    if isinstance(out, torch.Tensor):
        if on_host == isinstance(out, OnHost) or isinstance(out, torch.nn.Parameter):
            return out
        return out.as_subclass(OnHost if on_host else torch.Tensor)
    if type(out) in (tuple, list):
        return type(out)(_marked(one, on_host) for one in out)
    return tree_map_only(torch.Tensor, lambda t: _marked(t, on_host), out) if isinstance(out, tuple) else out


def _caller():
    """The line of ours that called torch."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "site-packages" in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def test_the_rules_are_those_of_cuda():
    device = torch.device("cpu")
    with TwoDevices() as mode:
        own, host = torch.zeros(3, device=device), torch.ones(3)
        assert isinstance(host, OnHost) and not isinstance(own, OnHost)
        assert not isinstance(own + 1, OnHost) and not isinstance(own + torch.tensor(2.0), OnHost)
        assert not isinstance(own[torch.arange(2)], OnHost) and isinstance(host[:2] * 2, OnHost)
        assert not isinstance(host.to(device) + own, OnHost) and isinstance(own.cpu(), OnHost)
        assert not isinstance(host.to(own) + own, OnHost) and not isinstance(own.new_zeros(2), OnHost)
        own[torch.arange(3) > 0] = 5.0
        own.copy_(host)
        assert not mode.mixed
        for mix in (
            lambda: own + host,
            lambda: torch.cat([own, host]),
            lambda: torch.where(own > 0, own, host),
            lambda: host[own.long() * 0],
            lambda: own.__setitem__(slice(None), host),
            lambda: own.mul_(torch.as_tensor(np.ones(3))),
        ):
            mode.mixed.clear()
            mix()
            assert mode.mixed


@pytest.mark.parametrize(
    "inference, options",
    [
        ("em", {"covariance": "full", "components": None}),
        ("em", {"covariance": "low-rank", "rank": 2, "transform": "yeo-johnson"}),
        ("elbo", {"covariance": "full", "transform": "yeo-johnson"}),
        ("elbo", {"covariance": "diagonal"}),
    ],
    ids=["em-full", "em-low-rank", "elbo-full", "elbo-diagonal"],
)
def test_a_fit_and_its_answers_stay_on_their_device(inference, options, table, tmp_path):
    some = {name: column[:26] for name, column in table.items()}
    p, r = np.abs(np.nan_to_num(some["y"])) + 0.1, np.round(np.nan_to_num(some["x"]), 1)
    data = some | {"p": p, "r": r}
    schema = {"n": "count", "x": "interval(-20, 20)", "p": "positive"}
    method = {"name": inference, "holdout": 0.2, "evaluate_every": 1}
    options = {"components": 2} | options
    with TwoDevices() as mode:
        genprob.fit(data, schema=schema, inference=method, steps=2, out=tmp_path / "run", device="cpu", **options)
        genprob.fit(data, out=tmp_path / "run", resume=True, steps=4, device="cpu")
        joint = genprob.load(tmp_path / "run", device="cpu")
        joint.sample(20)
        rows = {name: column[:6] for name, column in data.items()}
        joint.log_prob(rows)
        joint.query(rows=rows, draws=3)
        for given in (
            {"y": 0.5, "g": "a"},
            {"y": genprob.Within(0, 1), "r": genprob.Within(0, 2)},
            {"n": genprob.Soft(3, sd=2), "g": genprob.Soft({"a": 0.3, "b": 0.7}), "p": genprob.Soft(1.0, sd=0.3)},
            {"r": genprob.OneOf(0.5, 1.0), "g": genprob.OneOf("a")},
        ):
            joint.query(given=given, draws=3)
    assert not sorted(set(mode.mixed))
