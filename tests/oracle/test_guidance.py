"""Guided steps beside the repaired reference, each from the reference's own state: the same masks to the pixel, the same next state.

Through the nodes Concept and Masked Guider and ComfyUI's batched evaluation. Comparing whole runs instead would say little:
a hard mask turns a rounding difference at its edge into another picture.
"""

import sys

from scripts.host import in_comfy

import comfy.samplers
import pytest
import torch

from ledits.solver import NoiseKind, solver_mean
from support.levels import LEVELS

TEXTS = ["a red apple on a table", "glasses"]
REVERSE = [False, True]
SCALES = [7.0, 5.0]
THRESHOLDS = [0.9, 0.95]
WARMUPS = [2, 5]
COOLDOWNS = [20, 16]
SEED = 5


class FromGivenStates(comfy.samplers.Sampler):
    """Asks the guider for its prediction at each of the given states, and takes one step of the inversion's path from there."""

    def __init__(self, states, walk):
        self.states, self.trajectory = states, walk
        self.following, self.masks = [], []

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False):
        levels = NoiseKind(False).levels(sigmas)
        earlier = None
        for i, x in enumerate(self.states):
            denoised = model_wrap(x, sigmas[i, None], **extra_args)
            mean = solver_mean(x, levels[i], levels[i + 1], denoised, earlier)
            self.following.append(mean + self.trajectory.noise_maps[i])
            masks = model_wrap._record.masks
            self.masks.append(list(masks))
            masks[:] = [None] * len(masks)
            earlier = (levels[i], denoised)
        return x


def alpha(sigma):
    return (1 + sigma**2) ** -0.5


# Wide enough for both thresholds to be reached inside it.
USER_MASK = torch.nn.functional.pad(torch.ones(1, 1, 13, 20), (1, 3, 2, 1))


@pytest.fixture
def margins(monkeypatch):
    """How far the cell nearest to each cut lies from it, as a share of the cut."""
    masks = sys.modules[f"{in_comfy.pack().__name__}.ledits.masks"]
    seen, above_quantile = [], masks.above_quantile

    def spy(maps, quantile):
        cut = maps.flatten(-2).quantile(quantile, -1)[..., None, None]
        distances = (maps - cut).abs() / cut
        seen.append(distances[distances > 0].min().item())
        return above_quantile(maps, quantile)

    monkeypatch.setattr(masks, "above_quantile", spy)
    return seen


@pytest.fixture(params=["attention", "noise", "intersect"])
def both(request, pipeline, model, clip, latents, inversion, margins):
    """The reference's run, and our guider's answers at its states."""
    reference = pipeline()
    reference.invert_latents(latents, len(LEVELS), 0.15, seed=SEED)
    after = []
    reference.edit_latents(
        TEXTS, REVERSE, SCALES, THRESHOLDS, WARMUPS, COOLDOWNS, mask_mode=request.param, user_mask=USER_MASK, each_step=after
    )
    sigmas = inversion.trajectory.sigmas
    states = [state / alpha(sigma) for state, sigma in zip([reference.init_latents, *after[:-1]], sigmas[:-1], strict=True)]

    concepts = ()
    pixels = torch.nn.functional.interpolate(USER_MASK, scale_factor=8, mode="nearest")[:, 0]
    for number, text in enumerate(TEXTS):
        concepts = in_comfy.run(
            "LEDITS_Concept",
            clip=clip,
            text=text,
            direction="remove" if REVERSE[number] else "add",
            scale=SCALES[number],
            threshold=THRESHOLDS[number],
            mask_mode=request.param,
            warmup=WARMUPS[number],
            cooldown=COOLDOWNS[number],
            mask=pixels,
            concepts=concepts,
        )[0]
    guider = in_comfy.run("LEDITS_MaskedGuider", model=model, inversion=inversion, concepts=concepts)[0]
    ours = FromGivenStates(states, inversion.trajectory)
    with torch.inference_mode():
        guider.sample(torch.zeros_like(latents), latents, ours, sigmas, disable_pbar=True)
    # The picture is chosen so that no cell lies on a cut: which side it falls on is then no matter of rounding.
    assert min(margins) > 2e-5
    return reference, after, ours


def test_no_mask_pixel_differs(both):
    reference, _, ours = both
    passed = 0
    assert reference.activation_mask.shape[:2] == (len(LEVELS), len(TEXTS))
    for i in range(len(LEVELS)):
        for number in range(len(TEXTS)):
            theirs = reference.activation_mask[i, number]
            active = WARMUPS[number] <= i < COOLDOWNS[number]
            mask = ours.masks[i][number]
            assert (mask is not None) == active
            if active:
                # The user's mask is in the guidance there and in the recorded mask here.
                assert (mask != theirs * USER_MASK).sum() == 0, (i, number)
                assert mask.mean() < 0.2
                passed += mask.sum().item()
    assert passed > 0


def test_every_step_lands_where_the_references_does(both, inversion, latents):
    _, after, ours = both
    sigmas = inversion.trajectory.sigmas
    for i in range(len(LEVELS) - 1):
        assert (ours.following[i] * alpha(sigmas[i + 1]) - after[i]).abs().max() < 1e-4 * after[i].std(), i
