"""Running a sampler the way ComfyUI's own nodes do."""

from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.utils
import latent_preview
import torch
from comfy.samplers import CFGGuider, Sampler
from torch import Tensor


def sample(
    guider: CFGGuider, sampler: Sampler, latent: dict[str, Any], sigmas: Tensor, seed: int, callback: Callable | None = None
) -> Tensor:
    """The sampler's result for a LATENT, no noise added; with interrupts, and with previews and progress unless a callback replaces them."""
    # Networks that are made for videos too take an image as one frame.
    samples = comfy.sample.fix_empty_latent_channels(guider.model_patcher, latent["samples"])
    return guider.sample(
        torch.zeros_like(samples),
        samples,
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),  # inpainting models predict with it
        callback=callback or latent_preview.prepare_callback(guider.model_patcher, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )


def sample_each(guiders: list[CFGGuider], sampler: Sampler, latent: dict[str, Any], sigmas: Tensor, seed: int) -> list[Tensor]:
    """The results of several guiders one after the other, with one progress bar over all."""
    steps = len(sigmas) - 1
    total = steps * len(guiders)
    show = latent_preview.prepare_callback(guiders[0].model_patcher, total)

    def sample_one(done: int, guider: CFGGuider) -> Tensor:
        return sample(guider, sampler, latent, sigmas, seed, lambda step, x0, x, _: show(done * steps + step, x0, x, total))

    return [sample_one(done, guider) for done, guider in enumerate(guiders)]
