"""A concept whose place was looked up in the photo before the edit."""

from scripts.host.in_comfy import run

import pytest
import torch

from scripts.small_model.drawings import coverage


@pytest.fixture(scope="module")
def fine(model):
    return run("LEDITS_AttentionStore", model=model, resolution=16)[0]


@pytest.fixture(scope="module")
def circle(fine, latent, clip):
    """Where the photo's red circle is."""
    return run("LEDITS_ProbeAttention", model=fine, latent=latent, clip=clip, text="a red circle", noise_level=0.35)[0]


def test_the_mask_is_that_of_the_probe_in_every_step(fine, inversion, circle, concept):
    concepts = concept("a green square", attention=circle, words="red circle", mask_mode="attention")
    shown = run("LEDITS_Edit", model=fine, inversion=inversion, concepts=concepts)
    extracted = run("LEDITS_ExtractMask", attention=circle, words="red circle", quantile=0.8)[0]
    assert torch.equal(shown[2], extracted)
    assert not shown[1].prompts[0].steps, "nothing had to be recorded"


def test_it_finds_what_each_step_alone_does_not(fine, inversion, circle, concept, scene):
    truth = torch.from_numpy(coverage(scene.items[0]) >= 0.5)
    share = 1 - truth.float().mean().item()

    def overlap(**settings):
        concepts = concept("a green square", mask_mode="attention", threshold=share, warmup=0, **settings)
        mask = run("LEDITS_Edit", model=fine, inversion=inversion, concepts=concepts)[2][0] > 0.5
        return ((mask & truth).sum() / (mask | truth).sum()).item()

    assert overlap(attention=circle, words="red circle") > 0.65
    assert overlap() < 0.65


def test_both_masks_still_meet(fine, inversion, circle, concept):
    made = {
        mode: run("LEDITS_Edit", model=fine, inversion=inversion, concepts=concept("a green square", attention=circle, mask_mode=mode))[2]
        for mode in ("attention", "intersect")
    }
    assert (made["intersect"] <= made["attention"]).all()
    assert 0 < made["intersect"].sum() < made["attention"].sum()


def test_one_look_serves_a_batch(fine, vae, photo, encode, sigmas, circle, concept, model):
    with torch.inference_mode():
        latents = {"samples": vae.encode(photo.expand(2, -1, -1, -1))}
    pair = run("LEDITS_Invert", model=model, latent=latents, sigmas=sigmas, negative=encode(""))[0]
    masks = run("LEDITS_Edit", model=fine, inversion=pair, concepts=concept("a green square", attention=circle, mask_mode="attention"))[2]
    assert torch.equal(masks[0], masks[1])


def test_words_are_those_that_were_probed(circle, concept):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'words': .*'green'.*a, red, circle"):
        concept("a green square", attention=circle, words="green")


def test_attention_of_another_picture_is_refused(fine, clip, inversion, concept):
    small = {"samples": torch.randn(1, 4, 24, 32, generator=torch.Generator().manual_seed(0))}
    other = run("LEDITS_ProbeAttention", model=run("LEDITS_AttentionStore", model=fine)[0], latent=small, clip=clip, text="a red circle")[0]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'concepts': .*'a green square'.*256x192.*256x256"):
        run("LEDITS_Edit", model=fine, inversion=inversion, concepts=concept("a green square", attention=other))


def test_attention_of_several_texts_is_refused(model, inversion, concept):
    two = concept("a red circle", concepts=concept("a blue square"))
    attention = run("LEDITS_Edit", model=model, inversion=inversion, concepts=two)[1]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Concept, input 'attention': .*'a blue square', 'a red circle'"):
        concept("a green square", attention=attention)
