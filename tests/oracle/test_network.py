"""The two worlds hold the same network."""

from scripts.host.networks import SD15_SHAPE, SDXL_LEVELS, family, patcher

import pytest
import torch
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
from safetensors.torch import load_file

from benchmarks.reference.unet import diffusers_unet, to_diffusers
from scripts.paths import CHECKPOINT
from scripts.small_model.comfyui_node import UNET


@pytest.mark.parametrize("timestep", [1, 400, 999])
def test_the_random_network_predicts_the_same_noise(reference_unet, model, timestep):
    generator = torch.Generator().manual_seed(timestep)
    x = torch.randn((2, 4, 32, 48), generator=generator)
    context = torch.randn((2, 77, SD15_SHAPE["context_dim"]), generator=generator)
    with torch.inference_mode():
        theirs = reference_unet(x, timestep, context).sample
        ours = model.model.diffusion_model(x, torch.full((2,), timestep), context)
    assert theirs.std() > 0.1
    error = (theirs - ours).abs().max().item()
    assert error < 1e-5 * theirs.abs().max(), error  # rounding, which is not the same on every processor


def test_the_small_checkpoint_predicts_the_same_in_diffusers():
    """Its levels are of unequal length, which the translation of names must get right."""
    from scripts.host.in_comfy import load_checkpoint

    prefix = "model.diffusion_model."
    weights = {key.removeprefix(prefix): value.float() for key, value in load_file(CHECKPOINT).items() if key.startswith(prefix)}
    theirs = diffusers_unet(UNET | {"adm_in_channels": None})
    theirs.load_state_dict(to_diffusers(weights, UNET))
    ours = load_checkpoint()[0].model.diffusion_model
    x, context = torch.randn(1, 4, 32, 32), torch.randn(1, 77, UNET["context_dim"])
    with torch.inference_mode():
        a, b = theirs(x, 500, context).sample, ours(x, torch.full((1,), 500), context)
    assert (a - b).abs().max() < 1e-5 * a.std()


def test_sdxls_kind_predicts_the_same_in_diffusers():
    """Several transformers deep, heads of equal width, and a vector of the prompt and the picture's size."""
    import comfy.supported_models

    pooled = 40
    shape = SDXL_LEVELS | {"adm_in_channels": pooled + 6 * 256}
    ours = patcher(family(shape, comfy.supported_models.SDXL), branches=0.25).model.diffusion_model
    theirs = diffusers_unet(shape)
    theirs.load_state_dict(to_diffusers(ours.state_dict(), shape))
    generator = torch.Generator().manual_seed(0)
    x, context, prompt = (torch.randn(2, *size, generator=generator) for size in ((4, 16, 24), (77, shape["context_dim"]), (pooled,)))
    size = torch.tensor([[192.0, 128.0, 0.0, 8.0, 192.0, 128.0]]).expand(2, -1)
    vector = torch.cat([prompt, timestep_embedding(size.flatten(), 256).view(2, -1)], -1)
    with torch.inference_mode():
        a = theirs(x, 500, context, added_cond_kwargs={"text_embeds": prompt, "time_ids": size}).sample
        b = ours(x, torch.full((2,), 500), context, y=vector)
    assert a.std() > 0.1
    assert (a - b).abs().max() < 1e-5 * a.abs().max()
