"""Deep shrink: in its steps a network attends at other sizes. Maps are made where that is the maps' size, or an error says so."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

from support.stock_nodes import first_output

TEXT = "a green circle"
FIRST_STEPS = 0.35  # of the noise range: the first two of the four steps


def shrunk(model, block, end=1.0):
    return first_output(PatchModelAddDownscale.execute(model, block, 2.0, 0.0, end, True, "bicubic", "bicubic"))


def test_layers_that_shrink_to_the_size_of_the_maps_are_recorded(assert_mixing, model, clip, plain):
    mixed = assert_mixing(shrunk(model, 1), clip, lambda encode: encode(""))
    assert mixed.maps.shape == plain.maps.shape
    assert (mixed.maps - plain.maps).abs().max() > 1e-2
    assert (mixed.base - plain.base).abs().max() > 1e-2


@pytest.fixture(scope="session")
def out_of_size(model):
    """Nothing attends at the size of the maps in its first steps."""
    return shrunk(model, 3, FIRST_STEPS)


def test_an_edit_without_attention_is_that_of_the_network(
    out_of_size, model, encode, concept, invert, edit, predictions, assert_photo_returns
):
    inversion = invert(out_of_size)
    assert_photo_returns(out_of_size, inversion)
    found = model.model.process_latent_out(inversion.trajectory.denoised)
    assert torch.allclose(found, predictions(out_of_size, inversion, encode("")), atol=1e-4)
    changed = (found - predictions(model, inversion, encode(""))).abs().amax((1, 2, 3, 4))
    assert (changed[:2] > 1e-2).all()
    assert (changed[2:] < 1e-4).all()
    assert (edit(out_of_size, inversion, concept(TEXT, mask_mode="none", warmup=0)).samples - inversion.latent["samples"]).std() > 1e-2


def test_its_steps_have_no_maps_and_those_after_it_have_them(out_of_size, model, clip, latent, concept, invert, edit, inversion):
    shrinking = invert(out_of_size)
    refused = r"attention of other sizes: 16x77, 256x77; .*a downscale\).*'warmup'.*mask_mode 'noise' or 'none'"
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'model': .*" + refused):
        edit(out_of_size, shrinking, concept(TEXT, warmup=1))
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Probe Attention, input 'model': .*a downscale\)"):
        run("LEDITS_ProbeAttention", model=out_of_size, latent=latent, clip=clip, text=TEXT, noise_level=0.9)
    last = {"mask_mode": "attention", "warmup": 3}
    later, plain = (edit(*given, concept(TEXT, **last)) for given in ((out_of_size, shrinking), (model, inversion)))
    assert torch.allclose(later.attention.prompts[0].mean(), plain.attention.prompts[0].mean(), atol=1e-5)
    assert torch.equal(later.mask, plain.mask)
