"""Convolutional games over small images: what critic and generator see is the image, and rows come back from codes."""

import numpy as np
import pytest
import torch
import xarray as xr

import genprob
from genprob.data.schema import Schema, Variable
from genprob.data.support import Binary, Real
from genprob.errors import UsageError
from genprob.nets.heads import Heads
from genprob_adversarial.codes import interpolate, reconstruct
from genprob_adversarial.critic import ConvCritic

WAY = {"name": "adversarial", "lr": 1e-2, "batch_size": 64, "decay": 0.95, "observation": 0.4}


def pictures(rows=300, seed=0):
    """6 x 6 pictures with a bar at the top or at the bottom, and a label that says which."""
    rng = np.random.default_rng(seed)
    top = rng.random(rows) < 0.5
    image = rng.random((rows, 6, 6)) < 0.03
    image[top, :2] |= rng.random((top.sum(), 2, 6)) < 0.95
    image[~top, 4:] |= rng.random(((~top).sum(), 2, 6)) < 0.95
    label = np.array(["bottom", "top"], dtype=object)[top.astype(int)]
    return xr.Dataset({"image": (("row", "y", "x"), image.astype(np.int64)), "label": ("row", label)})


@pytest.fixture(scope="module")
def joint():
    return genprob.fit(pictures(), "dcgan", latent=3, hidden=(24,), channels=4, steps=350, seed=0, inference=WAY)


def test_draws_are_bars_with_their_labels(joint):
    drawn = joint.sample(400, seed=1)
    image, top = drawn["image"].values, drawn["label"].values == "top"
    assert 0.2 < top.mean() < 0.8
    above = image[:, :2].mean((1, 2)) - image[:, 4:].mean((1, 2))
    assert above[top].mean() > 0.4 and above[~top].mean() < -0.4


def test_the_critic_reads_each_pixel_where_it_is(joint):
    """A pixel of the point moves the first convolution only around its own place."""
    critic, heads = joint.model.critic, joint.model.heads
    assert isinstance(critic, ConvCritic)
    base = torch.zeros(2, heads.width)
    base[1, heads.taken("image")[1 * 6 + 4]] = 1.0
    seen = []
    hook = critic.convolutions[0][0].register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.detach())
    )
    joint.model.judge(base)
    hook.remove()
    moved = (seen[0][1] - seen[0][0]).abs().sum(0).nonzero().tolist()
    assert moved == [[0, 2], [1, 2]]


def test_images_of_a_pack_are_channels_and_codes_join_the_rest():
    """Each pixel of the second of two points moves the second channel alone, its code none."""
    heads = Heads(Schema((Variable("image", Binary(), dims=("y", "x"), shape=(4, 4)), Variable("n", Real()))))
    critic = ConvCritic(heads, (4,), 2, planes=1, cause=3, pack=2)
    assert critic.convolutions[0][0].in_channels == 2
    whole = heads.width + 3
    assert critic.columns[0] == [*heads.taken("image"), *(whole + c for c in heads.taken("image"))]
    assert sorted(critic.columns[0] + critic.rest) == list(range(2 * whole))


def test_holes_are_shown_to_the_critic_as_planes_of_their_own():
    data = pictures(80)
    image = data["image"].values.astype(float)
    image[np.random.default_rng(0).random(image.shape) < 0.2] = np.nan
    joint = genprob.fit(
        data.assign(image=(("row", "y", "x"), image)), "dcgan", latent=2, hidden=(8,), channels=2, steps=4,
        schema={"image": "binary"}, inference=WAY,
    )  # fmt: skip
    assert joint.model.critic.convolutions[0][0].in_channels == 2
    assert joint.sample(5)["image"].shape == (5, 6, 6)


def test_rows_come_back_from_their_codes_and_so_do_those_between(joint):
    data = pictures(40, seed=3)
    back = reconstruct(joint, data)
    assert (back["label"].values == data["label"].values).mean() > 0.8
    ends = data.isel(row=[int(np.argmax(data["label"].values == name)) for name in ("top", "bottom")])
    way = interpolate(joint, ends, steps=5)
    assert way["image"].shape == (5, 6, 6)
    both = reconstruct(joint, ends)
    assert (way["image"].values[[0, -1]] == both["image"].values).all()


def test_what_has_no_image_or_no_generator_is_refused(joint):
    with pytest.raises(UsageError, match="two dims"):
        genprob.fit({"x": [0.11, 0.23]}, "dcgan", steps=0)
    with pytest.raises(UsageError, match="two rows"):
        interpolate(joint, pictures(3))
    with pytest.raises(UsageError, match="no generator"):
        reconstruct(genprob.fit({"x": [0.11, 0.23, 0.31]}, "mixture", components=1), {"x": [0.1]})
