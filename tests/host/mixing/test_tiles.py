"""A network that is asked tile by tile: edits hold, and no map is made of tiles that lie nobody knows where."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch

from support import third_party
from support.stock_nodes import sample

REFUSED = r"input 'model': is sampled in tiles.* 8x8 latent pixels of 16x16"


@pytest.fixture(scope="module", params=[1, 3])
def tiled(request, model):
    return third_party.tiles(model, 8, request.param)


def test_an_edit_without_attention_is_made_of_tiles(tiled, model, encode, concept, invert, edit, small, predictions, assert_photo_returns):
    inversion = invert(tiled, **small)
    assert_photo_returns(tiled, inversion)
    empty, asked = (predictions(tiled, inversion, encode(text)) for text in ("", "a green circle"))
    assert torch.allclose(model.model.process_latent_out(inversion.trajectory.denoised), empty, atol=1e-4)
    edited = edit(tiled, inversion, concept("a green circle", mask_mode="none", scale=1.0, warmup=1)).samples
    assert torch.allclose(edited - inversion.latent["samples"], (asked - empty)[-1], atol=1e-4)
    assert (asked - predictions(model, inversion, encode("a green circle"))).abs().max() > 1e-2


def test_attention_of_tiles_is_refused(tiled, clip, encode, concept, invert, edit, small):
    inversion = invert(tiled, **small)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, " + REFUSED):
        edit(tiled, inversion, concept("a green circle", warmup=1))
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Probe Attention, " + REFUSED):
        run("LEDITS_ProbeAttention", model=tiled, latent=small["latent"], clip=clip, text="a green circle")
    listened = run("LEDITS_AttentionStore", model=tiled)[0]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Attention Store, " + REFUSED):
        sample(listened, encode("a red circle"), encode(""), small["latent"], steps=1)


def test_a_probe_without_tiles_says_where_to_edit_with_them(tiled, model, clip, concept, invert, edit, small):
    probed = run("LEDITS_ProbeAttention", model=model, latent=small["latent"], clip=clip, text="a red circle")[0]
    edited = edit(tiled, invert(tiled, **small), concept("a green circle", warmup=1, attention=probed, mask_mode="attention"))
    assert 0 < edited.mask.mean() < 0.5
