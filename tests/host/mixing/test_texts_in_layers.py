"""Packs that change in the attention layers which text is read there: maps stay those of the concept's own words, or the concept is refused."""

from __future__ import annotations

from scripts.host.in_comfy import encode as encode_with
from scripts.host.in_comfy import run

import pytest
import torch

from support import third_party
from support.stock_nodes import sample

TEXT = "a green circle"
EMPTY = {"samples": torch.zeros(1, 4, 16, 16)}
NOWHERE = torch.stack([torch.ones(16, 16), torch.zeros(16, 16)])
"""The prompt itself counts everywhere and the region nowhere, so that the network predicts what it does without."""


@pytest.fixture(scope="session")
def two_in_one(clip):
    return third_party.two_in_one_text(clip)


@pytest.fixture(scope="session")
def maps(invert, edit, small):
    """The maps of a text from each node that records them."""

    def record(node, model, clip):
        if node == "Probe":
            return run("LEDITS_ProbeAttention", model=model, latent=small["latent"], clip=clip, text=TEXT)[0]
        if node == "Capture":
            listened, store = run("LEDITS_AttentionStore", model=model)
            latent = sample(listened, encode_with(clip, TEXT), encode_with(clip, ""), EMPTY, steps=2)
            return run("LEDITS_CaptureAttention", store=store, latent=latent, clip=clip, text=TEXT)[0]
        concepts = run("LEDITS_Concept", clip=clip, text=TEXT, mask_mode="attention", warmup=1)[0]
        return edit(model, invert(model, negative=encode_with(clip, ""), **small), concepts).attention

    return lambda *given: record(*given).prompts[0].mean()


@pytest.mark.parametrize("node", ["Edit", "Probe", "Capture"])
def test_keys_and_values_in_one_text(node, model, clip, two_in_one, maps, encode):
    patched = third_party.read_two_in_one(model)
    known = maps(node, model, clip)
    assert torch.allclose(maps(node, patched, two_in_one), known, atol=1e-5)
    regions = third_party.Regions([encode("a yellow triangle")[0][0]], NOWHERE)
    assert torch.allclose(maps(node, regions.on(patched), two_in_one), known, atol=1e-5)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+.*input 'model': .*NegPip"):
        maps(node, third_party.read_two_in_one(regions.on(model)), two_in_one)


@pytest.mark.parametrize("node", ["Edit", "Probe", "Capture"])
def test_a_text_that_regions_replace_is_not_recorded(node, model, clip, maps, encode):
    texts = [encode(text)[0][0] for text in ("a yellow triangle", "a blue square")]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+.*input 'model': .*regional prompts"):
        maps(node, third_party.Regions(texts, NOWHERE, instead=True).on(model), clip)


def test_a_concept_that_regions_replace_is_refused_in_every_mode(model, concept, invert, edit, small, encode, assert_photo_returns):
    texts = [encode(text)[0][0] for text in ("a yellow triangle", "a blue square")]
    patched = third_party.Regions(texts, NOWHERE, instead=True).on(model)
    inversion = invert(patched, **small)
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'model': .*regional prompts.*never read"):
        edit(patched, inversion, concept(TEXT, mask_mode="none", warmup=1))


@pytest.mark.parametrize("one_prompt", [False, True])
def test_regions_in_the_hooks_of_the_neutral_prompt(one_prompt, model, encode, concept, invert, edit, predictions, small):
    masks = torch.zeros(2, 16, 16)
    masks[0, :, 8:] = masks[1, :, :8] = 1
    place = third_party.Regions([encode("a yellow triangle")[0][0]], masks, one_prompt).hooked
    last = {"mask_mode": "none", "scale": 1.0, "warmup": 1}
    inversion = invert(model, negative=place(encode("")), **small)
    photo = inversion.latent["samples"]
    known = []
    for text in (TEXT, "a red circle"):
        negative = place(encode(""))
        asked = [[encode(text)[0][0], encode(text)[0][1] | {"hooks": negative[0][1]["hooks"]}]]
        empty, found = (predictions(model, inversion, negative, asked, cfg)[-1] for cfg in (0.0, 1.0))
        known.append(found - empty)
        assert (found - predictions(model, inversion, encode(text))[-1]).abs().max() > 1e-3, "the region counts"
    two = edit(model, inversion, concept("a red circle", **last, concepts=concept(TEXT, **last)))
    assert torch.allclose(two.samples - photo, sum(known), atol=1e-4)
