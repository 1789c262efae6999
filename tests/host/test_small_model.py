"""The shipped checkpoint: its size, its autoencoder, its colours. `make measure` scores it in full."""

import torch
from in_comfy import CHECKPOINT
from small_model.measure import autoencoder_psnr, draw, unseen_scene
from small_model.see import look
from small_model.train import Denoiser, trained


def test_it_is_small():
    assert CHECKPOINT.stat().st_size <= 20e6


def test_its_autoencoder_reaches_30_db(vae):
    assert autoencoder_psnr(vae, 8)[0] >= 30


def test_it_draws_the_colours_it_is_asked_for(model, clip, vae):
    scenes = [unseen_scene(index, 1) for index in range(8)]
    pictures = draw(model, clip, vae, [scene.caption for scene in scenes], seed=0)
    right = [scene.items[0].colour in {seen.colour for seen in look(picture)} for scene, picture in zip(scenes, pictures, strict=True)]
    assert sum(right) >= 7


def test_training_can_go_on_from_it():
    """The exported weights fit the training modules again, and no weight is lost."""
    autoencoder, weights = trained(CHECKPOINT)
    model = Denoiser()
    model.load_state_dict(weights)
    assert all(torch.isfinite(value).all() for value in autoencoder.state_dict().values())
