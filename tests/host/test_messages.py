"""What a user can get wrong, and the message that says so: node, input, value, what to do."""

import pytest
import torch
from in_comfy import run


@pytest.fixture
def blocks_only(model):
    """A model whose network has no cross-attention."""
    other = model.clone()
    other.add_object_patch("diffusion_model", torch.nn.Linear(2, 2))
    return other


CASES = {
    "empty text": ("LEDITS_Concept", {"text": "  "}, r"LEDITS\+\+ Concept, input 'text': is empty"),
    "missing word": ("LEDITS_Concept", {"text": "a red circle", "words": "hat"}, r"input 'words': 'hat' is not a word.*a, red, circle"),
    "cooldown before warmup": ("LEDITS_Concept", {"text": "a", "warmup": 5, "cooldown": 3}, r"input 'cooldown': is 3.*warmup 5"),
    "rising sigmas": (
        "LEDITS_Invert",
        {"sigmas": torch.tensor([1.0, 2.0, 0.0])},
        r"LEDITS\+\+ Invert, input 'sigmas': .*must fall.*entry 0 is 1 and entry 1 is 2",
    ),
    "one sigma": ("LEDITS_Invert", {"sigmas": torch.tensor([1.0])}, "at least two"),
    "empty latent": ("LEDITS_Invert", {"latent": {"samples": torch.zeros(1, 4, 8, 8)}}, "input 'latent': is empty"),
    "channels": ("LEDITS_Invert", {"latent": {"samples": torch.ones(1, 16, 8, 8)}}, "has 16 channels, but this model works on 4"),
    "video": ("LEDITS_Invert", {"latent": {"samples": torch.ones(1, 4, 2, 8, 8)}}, "video"),
    "nan": ("LEDITS_Invert", {"latent": {"samples": torch.full((1, 4, 8, 8), float("nan"))}}, "not finite"),
    "cfg without a prompt": ("LEDITS_Invert", {"cfg": 3.0}, "input 'cfg': is 3, which has no effect without a prompt"),
    "empty conditioning": ("LEDITS_Invert", {"negative": []}, "input 'negative': is an empty conditioning"),
    "no such concept": ("LEDITS_ExtractMask", {"concept": 3}, r"input 'concept': is 3, but the attention holds 1"),
    "word not in the map": ("LEDITS_ExtractMask", {"words": "dog"}, r"Extract Mask, input 'words': 'dog' is not a word"),
    "all parts off": ("LEDITS_AttentionStore", {"up": False, "down": False}, "input 'up': is off"),
    "probe without words": ("LEDITS_ProbeAttention", {"text": ""}, "Probe Attention, input 'text': is empty"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_input(case, model, clip, latent, sigmas, encode):
    node, wrong, message = CASES[case]
    good = {
        "LEDITS_Concept": lambda: {"clip": clip, "text": "a red circle"},
        "LEDITS_Invert": lambda: {"model": model, "latent": latent, "sigmas": sigmas, "negative": encode("")},
        "LEDITS_ExtractMask": lambda: {
            "attention": run("LEDITS_ProbeAttention", model=model, latent=latent, clip=clip, text="a red circle")[0]
        },
        "LEDITS_AttentionStore": lambda: {"model": model},
        "LEDITS_ProbeAttention": lambda: {"model": model, "latent": latent, "clip": clip, "text": "a red circle"},
    }[node]()
    with pytest.raises(ValueError, match=message):
        run(node, **(good | wrong))


def test_no_cross_attention(blocks_only, latent, clip, inversion, concept):
    with pytest.raises(ValueError, match="Attention Store, input 'model': is a Linear without cross-attention"):
        run("LEDITS_AttentionStore", model=blocks_only)
    with pytest.raises(ValueError, match="Probe Attention, input 'model'"):
        run("LEDITS_ProbeAttention", model=blocks_only, latent=latent, clip=clip, text="a red circle")
    with pytest.raises(ValueError, match="concept 1 \\('a red circle'\\) cannot use mask_mode 'intersect'"):
        run("LEDITS_Edit", model=blocks_only, inversion=inversion, concepts=concept("a red circle"))


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 100, 256), "is 256x100 pixels, but the picture is 256x256"), ((3, 256, 256), "3 masks for 1 pictures")]
)
def test_a_mask_that_does_not_fit(model, inversion, concept, shape, message):
    with pytest.raises(ValueError, match=message):
        run("LEDITS_Edit", model=model, inversion=inversion, concepts=concept("a red circle", mask=torch.ones(shape)))


def test_an_impossible_map_resolution(model, inversion, concept):
    patched, _ = run("LEDITS_AttentionStore", model=model, resolution=20)
    with pytest.raises(ValueError, match=r"Attention Store, input 'resolution': resolution is 20.*32, 16, 8"):
        run("LEDITS_Edit", model=patched, inversion=inversion, concepts=concept("a red circle"))


def test_a_latent_or_sigmas_that_are_not_the_inversions(model, inversion, concept):
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concept("a red circle"))[0]
    sampler, sigmas, _, _ = run("LEDITS_ReplaySampler", inversion=inversion)
    for samples, levels, message in (
        (
            torch.ones(1, 4, 16, 16),
            sigmas,
            "the latent is 1 x 4 channels x 16 x 16 cells, but the inversion holds 1 x 4 channels x 32 x 32",
        ),
        (torch.ones(2, 4, 32, 32), sigmas, "the latent is 2 x"),
        (torch.ones(1, 4, 32, 32), sigmas[1:], "not the inversion's"),
    ):
        with pytest.raises(ValueError, match=message), torch.inference_mode():
            guider.sample(torch.zeros_like(samples), samples, sampler, levels)


def test_two_inversions_in_one_graph_are_not_mixed_up(model, latent, sigmas, encode, inversion, concept):
    other = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=encode(""), seed=5)[0]
    guider = run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concept("a red circle"))[0]
    sampler, levels, original, _ = run("LEDITS_ReplaySampler", inversion=other)
    with pytest.raises(ValueError, match="different inversions"), torch.inference_mode():
        guider.sample(torch.zeros_like(original["samples"]), original["samples"], sampler, levels)
