"""Nodes that change how predictions are put together: they act on the base as in ComfyUI's own guider, and leave what a concept adds alone."""

from __future__ import annotations

import pytest
import torch
from comfy_extras.nodes_apg import APG
from comfy_extras.nodes_model_advanced import RescaleCFG
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_perpneg import PerpNeg
from comfy_extras.nodes_sag import SelfAttentionGuidance

from support import third_party
from support.stock_nodes import first_output


def lighter(model):
    """A post-CFG function."""
    model = model.clone()
    model.set_model_sampler_post_cfg_function(lambda args: args["denoised"] + 0.1 * args["cond_denoised"])
    return model


def swayed(model):
    """A pre-CFG function."""
    model = model.clone()
    model.set_model_sampler_pre_cfg_function(lambda args: [0.9 * out for out in args["conds_out"]])
    return model


GUIDED = {
    "PAG": lambda model, encode: first_output(PerturbedAttentionGuidance.execute(model, scale=3.0)),
    "SAG": lambda model, encode: first_output(SelfAttentionGuidance.execute(model, scale=0.5, blur_sigma=2.0)),
    "PAG and SAG": lambda model, encode: first_output(
        PerturbedAttentionGuidance.execute(first_output(SelfAttentionGuidance.execute(model, scale=0.5, blur_sigma=2.0)), scale=3.0)
    ),
    "RescaleCFG": lambda model, encode: first_output(RescaleCFG().patch(model, 0.7)),
    "PerpNeg": lambda model, encode: first_output(PerpNeg.execute(model, encode("a picture"), 1.0)),
    "post-CFG": lambda model, encode: lighter(model),
    "pre-CFG": lambda model, encode: swayed(model),
    "pre-CFG in place": lambda model, encode: third_party.written_in_place(model),
    "APG": lambda model, encode: first_output(APG.execute(model, eta=0.5, norm_threshold=0.0, momentum=-0.5)),
    "momentum": lambda model, encode: third_party.momentum(model),
    "CFG with a state": lambda model, encode: third_party.control(model),
}
BETWEEN_TWO = {"RescaleCFG", "PerpNeg", "APG", "CFG with a state"}
"""What has no meaning where there is one prompt."""

BASES = {
    "no source": (lambda encode: {}, lambda encode: (encode(""), encode(""), 1.0)),
    "source": (lambda encode: {"positive": encode("a red circle"), "cfg": 1.0}, lambda encode: (encode(""), encode("a red circle"), 1.0)),
    "source at cfg 3": (
        lambda encode: {"positive": encode("a red circle"), "cfg": 3.0},
        lambda encode: (encode(""), encode("a red circle"), 3.0),
    ),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", GUIDED)
def test_the_base_is_guided_as_by_comfyui_and_the_concept_adds_its_own(
    name, base, model, encode, concept, invert, edit, predictions, small, assert_photo_returns, unchanged
):
    patched = GUIDED[name](model, encode)
    inputs, guided = BASES[base]
    with unchanged(patched, model):
        inversion = invert(patched, **small, **inputs(encode))
        assert_photo_returns(patched, inversion)
        found = model.model.process_latent_out(inversion.trajectory.denoised)
        plain = predictions(model, inversion, *guided(encode))
        if name in BETWEEN_TWO and base != "source at cfg 3":
            assert torch.allclose(found, plain, atol=1e-5)
        else:
            assert torch.allclose(found, predictions(patched, inversion, *guided(encode)), atol=1e-4)
            assert (found - plain).abs().max() > 1e-3
        added = edit(patched, inversion, concept("a green circle", mask_mode="none", scale=1.0, warmup=1)).samples
        empty, asked = (predictions(model, inversion, encode(text)) for text in ("", "a green circle"))
        assert torch.allclose(added - inversion.latent["samples"], (asked - empty)[-1], atol=1e-4)


@pytest.mark.parametrize("name", ["PAG", "SAG"])
def test_guidance_that_predicts_the_neutral_prompt_again_finds_no_regions_in_it(name, model, encode, invert, small):
    """Patches of the layers act on prompts, and the neutral one is not one of them: neither in the base nor in what it is guided away from."""
    halves = torch.zeros(2, 16, 16)
    halves[0, :, 8:] = halves[1, :, :8] = 1
    regions = third_party.Regions([encode("a yellow triangle")[0][0]], halves)
    with_regions, without = (invert(GUIDED[name](patched, encode), **small) for patched in (regions.on(model), model))
    assert torch.allclose(with_regions.trajectory.denoised, without.trajectory.denoised, atol=1e-4)
    pushed = third_party.pushed_from(model, encode("a yellow triangle")[0][0])
    assert torch.allclose(invert(GUIDED[name](pushed, encode), **small).trajectory.denoised, without.trajectory.denoised, atol=1e-4)
