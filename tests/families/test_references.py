"""What a transformer's concepts are measured against, and what they take over from that prompt; guidance of other nodes beside them."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor

from support.inverted import Photo, build, concept, invert, module, predict
from support.transformers import Conditioning

EXACT = 1e-5
FLUX, TRUE_CFG = "Flux.1 dev", "Flux.1 schnell"


def with_guidance(conditioning: Conditioning, guidance: float) -> Conditioning:
    return [[encoding, options | {"guidance": guidance}] for encoding, options in conditioning]


def last_step(photo: Photo) -> tuple[Tensor, float]:
    """The state that the last step starts from, and its noise level."""
    *_, x, _ = module("ledits.inversion").trajectory(photo.inversion.trajectory)
    return x, photo.inversion.trajectory.sigmas[-2].item()


def added(photo: Photo, edited: dict[str, Tensor]) -> Tensor:
    """What an edit of the last step has added, [B, C, H, W] in the network's units."""
    to_network = photo.model.model.process_latent_in
    return (to_network(edited["samples"]) - to_network(photo.latent["samples"])).flatten(1, -3)


def test_distilled_guidance_is_measured_against_the_source_prompt():
    """All rows have the source's guidance, and the empty prompt, which means nothing to such a network, is not asked."""
    of = build(FLUX)
    source = with_guidance(of.prompt(3), 2.5)
    photo = invert(of, positive=source)
    assert {row["guidance"].item() for row in photo.rows} == {2.5}
    photo.rows.clear()
    edited = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    assert len(photo.rows) == 2
    assert {value for row in photo.rows for value in row["guidance"].tolist()} == {2.5}
    asked = with_guidance(of.prompt(2), 2.5)
    of_concept, of_source = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (asked, source))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_source), atol=EXACT)


def test_distilled_guidance_without_a_source_prompt_keeps_the_empty_one():
    of = build(FLUX)
    negative = with_guidance(of.prompt(1), 1.5)
    photo = invert(of, negative)
    edited = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    assert {value for row in photo.rows for value in row["guidance"].tolist()} == {1.5}
    asked = with_guidance(of.prompt(2), 1.5)
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (asked, negative))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_empty), atol=EXACT)


def test_true_guidance_is_measured_against_the_empty_prompt():
    of = build(TRUE_CFG)
    photo = invert(of, positive=of.prompt(3))
    photo.rows.clear()
    edited = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    assert len(photo.rows) == 3
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (of.prompt(2), photo.negative))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_empty), atol=EXACT)


def test_the_glyphs_of_a_negative_prompt_stay_with_it():
    """Only quoted text has glyphs, so a concept without quotes has none of its own to put in their place."""
    of = build("Hunyuan-Image 2.1")
    plain = [[encoding, {"pooled_output": None}] for encoding, _ in of.prompt(2)]
    photo = invert(of)
    assert all("txt_byt5" in row for row in photo.rows)
    photo.rows.clear()
    edited = photo.edit(concept(plain, mask_mode="none"))[0]
    assert sorted("txt_byt5" in row for row in photo.rows) == [False, True]
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (plain, photo.negative))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_empty), atol=EXACT)


def test_reference_images_are_carried_to_the_concepts():
    of = build(FLUX)
    images = {"reference_latents": [of.latent(seed=5)["samples"]], "reference_latents_method": "offset"}
    negative, asked = ([[encoding, options | images] for encoding, options in prompt] for prompt in (of.prompt(1), of.prompt(2)))
    photo = invert(of, negative)
    edited = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (asked, negative))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_empty), atol=EXACT)


def test_a_fill_model_edits_inside_its_mask():
    """What the node for inpainting models adds to a prompt reaches every row, and the latent's mask bounds what changes."""
    of = build("Flux.1 Fill")
    height, width = of.sides
    mask = torch.zeros(1, 1, 8 * height, 8 * width)
    mask[..., : 4 * width] = 1
    known = {"concat_latent_image": of.latent(seed=4)["samples"], "concat_mask": mask}
    negative = [[encoding, options | known] for encoding, options in of.prompt(1)]
    photo = invert(of, negative, noise_mask=mask[:, 0])
    edited = photo.edit(concept(of.prompt(2), mask_mode="none", warmup=0))[0]
    changed = of.difference(edited, photo.latent)
    assert changed[..., width // 2 :].max() <= EXACT
    assert changed[..., : width // 2].min() > EXACT
    asked = [[encoding, options | known] for encoding, options in of.prompt(2)]
    last = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (asked, negative))
    inside = torch.nn.functional.interpolate(mask, size=(height, width))
    assert torch.allclose(added(photo, last), 4.0 * inside * (of_concept - of_empty), atol=EXACT)


# Guidance of other nodes: the network, the source prompt's cfg, the node and its inputs.
GUIDANCE = {
    "CFG zero star": ("SD3", 3.0, "nodes_cfg.CFGZeroStar", {}),
    "TCFG": ("Qwen-Image", 3.0, "nodes_tcfg.TCFG", {}),
    "RescaleCFG": ("Lumina 2", 3.0, "nodes_model_advanced.RescaleCFG", {"multiplier": 0.7}),
    "skip-layer guidance": (
        "SD3",
        3.0,
        "nodes_slg.SkipLayerGuidanceDiT",
        {"double_layers": "1", "single_layers": "", "scale": 2.0, "start_percent": 0.0, "end_percent": 1.0},
    ),
    "NAG": ("Flux.1 schnell", 1.0, "nodes_nag.NAGuidance", {"nag_scale": 5.0, "nag_alpha": 0.5, "nag_tau": 1.5}),
}


@pytest.mark.parametrize("feature", GUIDANCE)
def test_guidance_of_other_nodes_acts_on_the_base(feature):
    """At every step as in ComfyUI's own guider; and what a concept adds is its plain difference."""
    name, cfg, path, inputs = GUIDANCE[feature]
    file, cls = path.split(".")
    node = getattr(importlib.import_module(f"comfy_extras.{file}"), cls)
    of = build(name)
    patched = node().patch(of.model, **inputs)[0] if hasattr(node, "patch") else node.execute(of.model, **inputs).result[0]
    source = of.prompt(3)
    photo = invert(of, model=patched, positive=source, cfg=cfg)
    trajectory = photo.inversion.trajectory
    states = list(module("ledits.inversion").trajectory(trajectory))
    with_and_without = [
        torch.stack(
            [
                predict(model, source, photo.latent, x, sigma.item(), photo.negative, cfg)
                for x, sigma in zip(states, trajectory.sigmas[:-1], strict=False)
            ]
        )
        for model in (patched, of.model)
    ]
    assert torch.allclose(trajectory.denoised, with_and_without[0], atol=EXACT)
    assert (trajectory.denoised - with_and_without[1]).abs().max() > 1e-4
    assert photo.error(photo.edit()[0]) <= EXACT
    height, width = photo.latent["samples"].shape[-2:]
    nowhere = concept(of.prompt(2), torch.zeros(1, 8 * height, 8 * width), warmup=0, mask_mode="none")
    assert photo.error(photo.edit(nowhere, negative=list(photo.negative))[0]) <= EXACT
    edited = photo.edit(concept(of.prompt(2), mask_mode="none"))[0]
    of_concept, of_empty = (predict(of.model, prompt, photo.latent, *last_step(photo)) for prompt in (of.prompt(2), photo.negative))
    assert torch.allclose(added(photo, edited), 4.0 * (of_concept - of_empty), atol=EXACT)
