"""Running a sampler the way ComfyUI's own nodes do."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import comfy.utils
import latent_preview
import torch
from torch import Tensor


def sample(guider: comfy.samplers.CFGGuider, sampler: comfy.samplers.Sampler, latent: dict[str, Any], sigmas: Tensor, seed: int) -> Tensor:
    """The sampler's result for a LATENT, no noise added; with previews, progress and cancelling."""
    samples = latent["samples"]
    return guider.sample(
        torch.zeros_like(samples),
        samples,
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),  # inpainting models predict with it
        callback=latent_preview.prepare_callback(guider.model_patcher, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
