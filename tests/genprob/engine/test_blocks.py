"""Blocks: one flat namespace, each tensor once."""

import pytest
import torch
from torch import nn

from genprob.engine.blocks import Blocks, matches
from genprob.errors import PluginError


def test_parameters_buffers_and_free_tensors_share_one_namespace():
    blocks = Blocks({"net": nn.BatchNorm1d(2)}, {"chains": torch.zeros(3)})
    names = {"net.weight", "net.bias", "net.running_mean", "net.running_var", "net.num_batches_tracked", "chains"}
    assert set(blocks.flat()) == names
    assert blocks["net.weight"] is blocks.modules["net"].weight


def test_a_shared_tensor_appears_under_its_first_name_only():
    encoder, decoder = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    decoder.weight = encoder.weight
    assert set(Blocks({"encoder": encoder, "decoder": decoder}).flat()) == {"encoder.weight"}


def test_select_takes_every_name_once_and_refuses_a_pattern_that_matches_nothing():
    blocks = Blocks({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)})
    assert set(blocks.select(["a.*", "*.bias"])) == {"a.weight", "a.bias", "b.bias"}
    with pytest.raises(PluginError, match=r"'c\.\*'.*a\.bias"):
        blocks.select(["a.*", "c.*"])
    assert matches("a.weight", ["b.*", "a.w*"]) and not matches("a.weight", ["a", "weight"])


def test_parameters_are_the_trainable_ones():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    net[0].bias.requires_grad_(False)
    assert set(Blocks({"net": net}).parameters(["net.*"])) == {"net.0.weight", "net.1.weight", "net.1.bias"}
    with pytest.raises(PluginError, match="no trainable tensor"):
        Blocks({"net": net}).parameters(["net.1.running_*"])


def test_assign_writes_modules_in_place_and_replaces_free_tensors():
    net = nn.Linear(2, 1)
    blocks = Blocks({"net": net}, {"chains": torch.zeros(3)})
    weight = net.weight
    blocks.assign({"net.weight": torch.ones(1, 2), "chains": torch.ones(5), "statistics": torch.ones(1)})
    assert net.weight is weight and torch.equal(weight, torch.ones(1, 2))
    assert blocks["chains"].shape == (5,) and "statistics" in blocks.flat()
    with pytest.raises(PluginError, match=r"'net.weight' has shape \(1, 2\), not \(3,\)"):
        blocks.assign({"net.weight": torch.ones(3)})
    with pytest.raises(PluginError, match=r"'net' has no tensor 'net.gone'"):
        blocks.assign({"net.gone": torch.ones(3)})


def test_restore_takes_the_very_tensors_or_refuses():
    blocks = Blocks({"net": nn.Linear(2, 1)}, {"late": torch.zeros(3)})
    saved = {"net.weight": torch.ones(1, 2), "net.bias": torch.ones(1), "chains": torch.ones(4)}
    blocks.restore(saved)
    assert set(blocks.flat()) == set(saved), "free tensors of a later step are gone"
    assert all(torch.equal(blocks[name], value) for name, value in saved.items())
    with pytest.raises(PluginError, match=r"lacks 'net\.bias'"):
        blocks.restore({"net.weight": torch.ones(1, 2)})
    with pytest.raises(PluginError, match=r"'net\.more'"):
        blocks.restore({**saved, "net.more": torch.ones(1)})


def test_what_a_module_gains_loses_or_replaces_is_seen_at_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    blocks = Blocks({"net": net})
    blocks.flat()
    net[0].weight = nn.Parameter(torch.zeros(2, 2))
    assert blocks["net.0.weight"] is net[0].weight and blocks.flat()["net.0.weight"] is net[0].weight
    net[1].running_mean = torch.ones(2)
    assert blocks["net.1.running_mean"] is net[1].running_mean
    net.append(nn.Linear(2, 1))
    assert "net.2.bias" in blocks.flat()
    net[2].bias = None
    assert "net.2.bias" not in blocks.flat()
    net[0] = nn.Linear(3, 2)
    assert blocks["net.0.weight"].shape == (2, 3)
