"""Games in one dimension and over mixed types, against what is known of the data."""

import numpy as np
import pytest
import torch

import genprob
from genprob.engine.inferences.adversarial import _Split
from genprob.errors import Diverged
from genprob_adversarial.gan import GAN, WGAN

MEAN, SD = 3.0, 0.5


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(MEAN, SD, 3000)


@pytest.mark.parametrize("model", [GAN, WGAN])
def test_in_one_dimension_the_law_is_found(model, rows):
    joint = genprob.fit(
        {"x": rows},
        model,
        latent=1,
        hidden=(16,),
        steps=300,
        seed=0,
        inference={"name": "adversarial", "lr": 1e-2, "batch_size": 128},
    )
    drawn = joint.sample(4000, seed=1)["x"]
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.12)
    assert float(drawn.std()) == pytest.approx(SD, abs=0.15)
    scored = joint.log_prob({"x": rows[:200]})
    assert (scored.attrs["kind"], scored.attrs["law"]) == ("estimate", "generator+noise")
    truth = -0.5 * np.log(2 * np.pi * SD**2) - 0.5 * ((rows[:200] - MEAN) / SD) ** 2
    assert float(scored["log_prob"].mean()) == pytest.approx(truth.mean(), abs=0.2)


def test_the_critic_at_the_end_of_the_game_guesses_and_a_generator_that_stands_is_seen(rows):
    played = genprob.fit({"x": rows}, WGAN, latent=1, hidden=(16,), steps=200, seed=0)
    standing = genprob.fit(
        {"x": rows + 5 * np.sin(np.arange(len(rows)))}, WGAN, latent=1, hidden=(16,), steps=150, seed=0,
        inference={"name": "adversarial", "lr": 0.0, "critic_lr": 5e-3, "observation": 0.0},
    )  # fmt: skip
    last = [e["watch.accuracy"] for e in played.run.events() if "watch.accuracy" in e][-50:]
    told = [e["watch.accuracy"] for e in standing.run.events() if "watch.accuracy" in e][-50:]
    assert abs(np.mean(last) - 0.5) < 0.06
    assert np.mean(told) > 0.56


def test_a_mixed_table_is_drawn_with_the_right_probabilities_and_asked():
    rng = np.random.default_rng(0)
    k = rng.random(3000) < 0.3
    data = {
        "x": np.where(k, 1.5, -1.0) + 0.3 * rng.normal(size=3000),
        "g": np.where(rng.random(3000) < np.where(k, 0.9, 0.2), "a", "b"),
        "m": (rng.random(3000) < np.where(k, 0.8, 0.1)).astype(int),
    }
    joint = genprob.fit(
        data,
        WGAN,
        latent=2,
        hidden=(32,),
        steps=300,
        seed=0,
        inference={"name": "adversarial", "lr": 1e-2, "batch_size": 128},
    )
    drawn = joint.sample(4000, seed=1)
    assert (drawn["g"] == "a").mean() == pytest.approx((data["g"] == "a").mean(), abs=0.08)
    assert drawn["m"].mean() == pytest.approx(data["m"].mean(), abs=0.08)
    answer = joint.query(["g"], {"x": 1.5}, seed=0)
    assert answer.attrs["law"] == "generator+noise"
    assert float(answer["marginals"]["g_pmf"][0]) == pytest.approx(0.9, abs=0.15)


def test_a_frozen_critic_is_seen_in_the_log(rows):
    """It never learns to tell what a generator that is far off makes: its accuracy on held-out rows does not move."""
    told = {}
    for name, rate in {"frozen": 0.0, "learning": 1e-2}.items():
        joint = genprob.fit(
            {"x": rows + 5 * np.sin(np.arange(len(rows)))}, GAN, latent=1, hidden=(16,), steps=80, seed=0,
            inference={"name": "adversarial", "lr": 0.0, "critic_lr": rate, "observation": 0.0, "batch_size": 128},
        )  # fmt: skip
        told[name] = np.array([e["watch.accuracy"] for e in joint.run.events() if "watch.accuracy" in e])
    assert np.ptp(told["frozen"][-40:]) < 0.1 and abs(told["frozen"].mean() - 0.5) < 0.06
    assert told["learning"][-20:].mean() > told["frozen"].mean() + 0.05


class Twins(GAN):
    """Every point has the law of the data, but points come in pairs of equals."""

    def of_codes(self, code):
        drawn = torch.randn(-(-len(code) // 2), 1, device=code.device).repeat_interleave(2, 0)[: len(code)]
        return drawn + 0 * self.generator(code)


def test_a_critic_of_packs_sees_a_lack_of_variety_that_no_single_point_shows():
    rows, told = np.random.default_rng(0).normal(size=3000), {}
    for pack in (1, 2):
        joint = genprob.fit(
            {"x": rows}, Twins, latent=1, hidden=(24,), pack=pack, steps=150, seed=0,
            inference={"name": "adversarial", "lr": 0.0, "critic_lr": 1e-2, "observation": 0.0, "batch_size": 128},
        )  # fmt: skip
        told[pack] = np.mean([e["watch.accuracy"] for e in joint.run.events() if "watch.accuracy" in e][-20:])
    assert abs(told[1] - 0.5) < 0.05
    assert told[2] > 0.62


def test_packs_hold_every_row_in_order_and_fill_up_with_the_first():
    batch = genprob.fit({"x": np.arange(7) / 3.1}, GAN, latent=1, hidden=(4,), steps=1).reference
    model = GAN(batch.schema, latent=1, hidden=(4,), pack=3)
    model.prepare(batch, seed=0)
    single, packs = model.of_rows(batch)[:, 0], model.points(batch)
    assert torch.equal(packs, torch.cat([single, single[:2]]).reshape(3, 3))
    assert model.generate(7).shape == (3, 3) and model.judge(packs).shape == (3,)


def test_rows_that_are_watched_are_rows_that_do_not_play():
    rows = np.random.default_rng(0).normal(size=300)
    batch = genprob.fit({"x": rows}, GAN, latent=1, hidden=(4,), steps=1).reference
    split = _Split(0.2)
    played, held = split.played(batch), split.held(batch, 512)
    assert not set(played.index.tolist()) & set(held.index.tolist())
    assert len(played) + len(held) == len(batch) and 30 < len(held) < 90


def test_a_game_that_diverges_is_named_and_its_checkpoint_kept(rows, tmp_path):
    with pytest.raises(Diverged, match=r"critic.* became (nan|inf).*checkpoint is kept"):
        genprob.fit(
            {"x": rows}, GAN, latent=1, hidden=(8,), steps=60, out=tmp_path / "run",
            inference={"name": "adversarial", "lr": 1e30, "batch_size": 64},
        )  # fmt: skip
    assert genprob.load(tmp_path / "run").sample(3)["x"].shape == (3,)
