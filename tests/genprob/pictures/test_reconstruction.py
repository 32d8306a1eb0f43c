"""What is shown of a row is the row with noise, and what is restored the model's mean."""

import numpy as np
import pytest
import torch

from genprob.errors import UsageError
from genprob.pictures import plot_reconstruction, reconstruction
from genprob.questions.codes import decode, encode


@pytest.mark.parametrize("model", ["dae", "plain", "score"])
def test_a_denoiser_is_shown_noise_and_restores_by_tweedies_formula(joints, plane, model):
    joint = joints[model]
    found = reconstruction(joint, plane, rows=150)
    row, shown, restored = (np.stack([found[n].values[i] for n in "xy"], 1) for i in range(3))
    assert np.allclose(row, np.stack([plane["x"], plane["y"]], 1)[:150])
    encoder, sigma = joint.model.encoder, 0.5 if model == "score" else 0.2
    noisy = encoder.encode(torch.as_tensor(shown))
    off = (noisy - encoder.encode(torch.as_tensor(row))).numpy()
    assert off.std() == pytest.approx(sigma, rel=0.15) and abs(off.mean()) < 4 * sigma / np.sqrt(300)
    score = joint.model.score(noisy.float(), torch.full((150,), sigma)).detach().double()
    assert np.allclose(restored, encoder.decode(noisy + sigma**2 * score), atol=1e-3)


def test_a_corrupted_image_shows_what_is_left_of_it(joints, images):
    found = reconstruction(joints["gsn"], images, rows=100)["image"].values
    row, shown, restored = found
    assert 0.05 < np.isnan(shown).mean() < 0.15  # hidden with probability 0.1
    seen = ~np.isnan(shown)
    assert 0.01 < (shown[seen] != row[seen]).mean() < 0.1
    assert ((restored > 0) & (restored < 1)).all()


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_code_decodes_to_the_means_of_the_decoder(joints, images, model):
    joint = joints[model]
    row, shown, restored = reconstruction(joint, images, rows=10)["image"].values
    assert (row == shown).all() and ((restored > 0) & (restored < 1)).all()
    if model == "vae":
        # Of a code that is given, the mean of very many rows.
        code = encode(joint, images.isel(row=[3]))["code"].values
        drawn = decode(joint, code, draws=4000)["image"].values.reshape(4000, 4, 4).mean(0)
        assert np.abs(drawn - restored[3]).max() < 0.05


def test_holes_stay_holes_of_the_row_and_are_filled_by_a_code(joints, images):
    holed = images.copy(deep=True)
    holed["image"][0, 0, 0] = np.nan
    row, shown, restored = reconstruction(joints["vae"], holed, rows=2)["image"].values
    assert np.isnan(row[0, 0, 0]) and np.isnan(shown[0, 0, 0]) and np.isfinite(restored).all()


def test_both_are_drawn(joints, plane, images, tmp_path):
    assert plot_reconstruction(reconstruction(joints["dae"], plane), tmp_path / "a.png").stat().st_size > 2000
    assert plot_reconstruction(reconstruction(joints["gsn"], images), tmp_path / "b.png").stat().st_size > 2000


def test_what_makes_no_row_again_says_what_does(joints, plane):
    with pytest.raises(UsageError, match="makes no row again: it has neither denoiser nor code; dae, gsn"):
        reconstruction(joints["mixture"], plane)
