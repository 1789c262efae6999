"""Every transformer that ComfyUI knows through the pack's nodes: its noise, and its kind of latent."""

from __future__ import annotations

from scripts.host.in_comfy import run

import comfy.model_sampling
import pytest
import torch

from support.inverted import DISTILLED, FAMILIES, KNOWN, STEPS, Photo, build, concept, invert, module

EXACT = 1e-5


@pytest.fixture(scope="module", params=KNOWN)
def photo(request) -> Photo:
    return invert(build(request.param), batch=2)


def test_the_photo_comes_back(photo):
    """Without a call where nothing is edited, and just as well where the network is asked again at every step, alone or beside another row."""
    assert photo.error(photo.edit()[0]) <= EXACT
    assert not photo.rows
    assert photo.error(photo.edit(negative=list(photo.negative))[0]) <= EXACT
    assert len(photo.rows) == 2 * STEPS
    height, width = photo.latent["samples"].shape[-2:]
    nothing = torch.zeros(1, photo.factor * height, photo.factor * width)
    nowhere = concept(photo.of.prompt(2), nothing, warmup=0, mask_mode="none")
    replayed = photo.edit(nowhere, negative=list(photo.negative))[0]
    # PixArt's first states are 39 times as large as the image, and so is what float32 rounds off them.
    assert photo.error(replayed) <= (1e-4 if photo.of.family.base.startswith("PixArt") else EXACT)
    assert len(photo.rows) == 2 * 2 * STEPS
    assert replayed["samples"].shape == photo.latent["samples"].shape


def test_an_edit_changes_its_mask_and_nothing_else(photo):
    edited, _, mask = photo.edit(concept(photo.of.prompt(2, 7), mask_mode="noise"))
    changed = photo.of.difference(edited, photo.latent)
    cells = mask[:, :: photo.factor, :: photo.factor]
    assert cells.mean((1, 2)) == pytest.approx(0.3, abs=0.02)
    assert changed[cells == 0].max() <= EXACT
    assert changed[cells > 0].min() > EXACT


def test_the_schedule_begins_with_sd15s_noise(photo):
    """At the same skip an edit may change as much with every network."""
    sampling, noise, sigmas = (
        photo.model.get_model_object("model_sampling"),
        photo.inversion.trajectory.noise,
        photo.inversion.trajectory.sigmas,
    )
    sd15 = comfy.model_sampling.ModelSamplingDiscrete().sigmas[849].item()
    if noise.flow:
        assert sigmas[0] / (1 - sigmas[0]) == pytest.approx(sd15, rel=1e-3)
    elif isinstance(sampling, comfy.model_sampling.COSMOS_RFLOW):
        assert sigmas[0] == pytest.approx(sd15, rel=1e-3)
    else:
        assert sigmas[0] == sampling.sigmas[int(0.85 * len(sampling.sigmas)) - 1]
    assert sigmas[-1] == 0


def test_guidance_is_distilled_where_the_network_takes_its_strength(photo):
    is_distilled = module("nodes.comfyui.sampling.noise").is_guidance_distilled
    assert is_distilled(photo.model) == (photo.of.family in [FAMILIES[name] for name in DISTILLED])


@pytest.mark.parametrize("name", [name for name in ("Qwen-Image", "Cosmos-Predict2", "Anima", "Wan 2.1") if name in KNOWN])
def test_a_video_is_refused_by_name(name):
    of = build(name)
    with pytest.raises(ValueError, match=r"video of 3 frames.*single images"):
        run("LEDITS_Invert", model=of.model, latent=of.latent(frames=3), sigmas=torch.tensor([0.5, 0.0]), negative=of.prompt(1))


def test_an_image_without_a_frame_gets_one():
    """As ComfyUI's own sampling nodes do it."""
    of = build("Qwen-Image")
    flat = {"samples": of.latent()["samples"][:, :, 0]}
    sigmas = run("LEDITS_Schedule", model=of.model, steps=STEPS)[0]
    inversion = run("LEDITS_Invert", model=of.model, latent=flat, sigmas=sigmas, negative=of.prompt(1))[0]
    edited = run("LEDITS_Edit", model=of.model, inversion=inversion)[0]
    assert of.difference(edited, of.latent()).max() <= EXACT


class VideoVae:
    """Decodes as the VAEs of such networks do."""

    def decode(self, latent):
        batch, _, frames, height, width = latent.shape
        return torch.rand(batch, frames, 8 * height, 8 * width, 3)


def test_a_sweep_shows_images_not_videos():
    of = build("Qwen-Image")
    photo = invert(of)
    settings = {"concept": 0, "columns": "scale", "column_values": "1, 2", "rows": "none", "row_values": ""}
    concepts = concept(of.prompt(2), mask_mode="noise")
    _, images = run("LEDITS_Sweep", model=of.model, vae=VideoVae(), inversion=photo.inversion, concepts=concepts, **settings)
    height, width = of.sides
    assert [image.shape for image in images] == [(1, 8 * height, 8 * width, 3)] * 2


@pytest.mark.parametrize("name", [name for name in ("SD3", "Qwen-Image", "Cosmos-Predict2", "HiDream-O1") if name in KNOWN])
def test_in_comfyuis_own_sampler_node(name):
    from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

    of = build(name)
    photo = invert(of)
    guider = run("LEDITS_MaskedGuider", model=of.model, inversion=photo.inversion)[0]
    sampler, sigmas, latent, noise = run("LEDITS_ReplaySampler", inversion=photo.inversion)
    sampling = of.model.get_model_object("model_sampling")
    x0 = of.model.model.process_latent_in(latent["samples"])
    start = sampling.noise_scaling(sigmas[0], noise.generate_noise(latent), x0).flatten(1, -3)
    assert torch.allclose(start, photo.inversion.trajectory.x_T, atol=1e-5)
    with torch.inference_mode():
        replayed = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent).result[0]
    assert photo.error(replayed) <= EXACT
