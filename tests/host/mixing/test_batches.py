"""Four photos at once are four photos."""

from __future__ import annotations

from scripts.host.in_comfy import run

import pytest
import torch

PICTURES = 4


@pytest.fixture(scope="module")
def photos(vae, photo):
    flipped = [photo, photo.flip(1), photo.flip(2), photo.flip((1, 2))]
    with torch.inference_mode():
        return vae.encode(torch.cat(flipped))


@pytest.fixture(scope="module")
def inversions(invert, model, photos):
    """Of all photos at once, and of each alone."""
    return invert(model, latent={"samples": photos}), [invert(model, latent={"samples": one[None]}) for one in photos]


def masks(place):
    """A mask for each photo, none like another."""
    each = torch.zeros(PICTURES, 256, 256)
    for number in range(PICTURES):
        each[number, : 64 + 48 * number, 32 * number :] = 1 - number / 8
    return each[place]


def chained(clip, *concepts):
    chain = ()
    for text, settings in concepts:
        chain = run("LEDITS_Concept", clip=clip, text=text, **({"scale": 3.0, "threshold": 0.8, "warmup": 3} | settings), concepts=chain)[0]
    return chain


CONCEPTS = {
    "attention": lambda place: [("a green circle", {"mask_mode": "attention"})],
    "noise": lambda place: [("a green circle", {"mask_mode": "noise"})],
    "one mask for all": lambda place: [("a green circle", {"mask": masks(slice(2, 3))})],
    "a mask for each": lambda place: [("a green circle", {"mask": masks(place)})],
    "a list of concepts": lambda place: [
        # A threshold at which no pixel is so close to the quantile that rounding decides.
        ("a green circle", {"mask": masks(place), "mask_mode": "noise", "threshold": 0.7}),
        ("a blue square", {"direction": "remove", "mask_mode": "attention"}),
        ("a yellow triangle and a red square", {"mask": masks(slice(1)), "mask_mode": "none"}),
    ],
}


def test_inversions(inversions):
    together, alone = inversions
    for name in ("x_T", "denoised", "noise_maps"):
        apart = torch.cat([getattr(one.trajectory, name) for one in alone], -4)
        assert torch.allclose(getattr(together.trajectory, name), apart, atol=1e-4)


def test_the_photos_come_back(assert_photo_returns, model, inversions):
    assert_photo_returns(model, inversions[0])


@pytest.mark.parametrize("name", CONCEPTS)
def test_edits(edit, model, clip, inversions, unchanged, name):
    """The last step alone, in which nothing grows out of a difference in rounding: every mask to the bit, every value closely."""
    together, alone = inversions
    with unchanged(model):
        both = edit(model, together, chained(clip, *CONCEPTS[name](slice(None))))
    concepts = len(CONCEPTS[name](slice(None)))
    assert both.mask.shape == (concepts * PICTURES, 256, 256)
    assert [len(prompt.mean()) for prompt in both.attention.prompts if prompt.steps] == [PICTURES] * sum(
        settings.get("mask_mode") in (None, "attention") for _, settings in CONCEPTS[name](slice(None))
    )
    results = []
    for number, inversion in enumerate(alone):
        one = edit(model, inversion, chained(clip, *CONCEPTS[name](slice(number, number + 1))))
        assert torch.allclose(both.samples[number], one.samples[0], atol=1e-4)
        assert torch.equal(both.mask.unflatten(0, (concepts, PICTURES))[:, number], one.mask)
        for shared, own in zip(both.attention.prompts, one.attention.prompts, strict=True):
            assert shared.steps == own.steps
            assert not shared.steps or torch.allclose(shared.mean()[number], own.mean()[0], atol=1e-5)
        results.append(one)
    changes = torch.stack([one.samples[0] - inversion.latent["samples"][0] for one, inversion in zip(results, alone, strict=True)])
    assert (changes[1:] - changes[:1]).abs().amax((1, 2, 3)).min() > 1e-3


def test_every_step(edit, model, clip, inversions):
    together, alone = inversions
    concepts = chained(clip, ("a green circle", {"mask_mode": "none", "warmup": 0}), ("a blue square", {"mask_mode": "none", "warmup": 1}))
    apart = torch.cat([edit(model, inversion, concepts).samples for inversion in alone])
    assert torch.allclose(edit(model, together, concepts).samples, apart, atol=1e-3)


def test_a_number_of_masks_that_fits_no_batch_is_refused(edit, model, clip, inversions):
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'concepts': .*'a green circle'.*\b3\b.*\b4\b"):
        edit(model, inversions[0], chained(clip, ("a green circle", {"mask": masks(slice(3))})))
