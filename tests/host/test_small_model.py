"""The shipped networks: their sizes, the autoencoder, their pictures. `make measure` scores them in full."""

from scripts.host.in_comfy import load_network

import pytest
import torch

from scripts.paths import CHECKPOINT, TRANSFORMER_FILE
from scripts.small_model.measure import autoencoder_psnr, draw, unseen_scene
from scripts.small_model.see import look
from scripts.small_model.train import new_denoiser, trained


def test_it_is_small():
    assert CHECKPOINT.stat().st_size <= 20e6


def test_its_autoencoder_reaches_30_db(vae):
    assert autoencoder_psnr(vae, 8)[0] >= 30


def assert_it_draws_what_it_is_asked_for(model, clip, vae):
    items = [unseen_scene(index, 1).items[0] for index in range(12)]
    pictures = draw(model, clip, vae, [item.phrase for item in items], seed=0)
    seen = [{region.colour: region.shape for region in look(picture)} for picture in pictures]
    assert sum(item.colour in found for item, found in zip(items, seen, strict=True)) >= 11
    assert sum(found.get(item.colour) == item.shape for item, found in zip(items, seen, strict=True)) >= 10


def test_it_draws_what_it_is_asked_for(model, clip, vae):
    assert_it_draws_what_it_is_asked_for(model, clip, vae)


@pytest.mark.long
def test_the_transformer_is_small_and_draws_what_it_is_asked_for(clip, vae):
    assert TRANSFORMER_FILE.stat().st_size <= 20e6
    assert_it_draws_what_it_is_asked_for(load_network(TRANSFORMER_FILE), clip, vae)


def test_training_can_go_on_from_it():
    """The exported weights fit the training modules again, and no weight is lost."""
    autoencoder, weights = trained(CHECKPOINT)
    model = new_denoiser()
    model.load_state_dict(weights)
    assert all(torch.isfinite(value).all() for value in autoencoder.state_dict().values())
