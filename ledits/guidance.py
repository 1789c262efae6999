"""Semantic guidance: what each concept adds to the base prediction (LEDITS++, section 3.2)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .masks import OFFICIAL_SMOOTHING, attention_mask, noise_mask

MaskMode = Literal["intersect", "attention", "noise", "none"]
MASK_MODES: tuple[MaskMode, ...] = ("intersect", "attention", "noise", "none")


@dataclass(frozen=True)
class EditSettings:
    """How one concept acts."""

    add: bool = True  # otherwise it is removed
    scale: float = 7.0  # s
    threshold: float = 0.9  # lambda, about one minus the share of the image to change; 0: found in the maps themselves
    mask_mode: MaskMode = "intersect"
    warmup: int = 2  # first step that it acts in, counted from 0
    cooldown: int = 0  # first step that it no longer acts in; 0: it acts to the end

    @property
    def needs_attention(self) -> bool:
        return self.mask_mode in ("intersect", "attention")

    def is_active(self, step: int) -> bool:
        return self.scale != 0 and step >= self.warmup and (self.cooldown == 0 or step < self.cooldown)


def first_active_step(concepts: Iterable[EditSettings], steps: int) -> int:
    """The first step at which any of the concepts acts; `steps` if none ever does."""
    concepts = list(concepts)
    return next((step for step in range(steps) if any(concept.is_active(step) for concept in concepts)), steps)


def concept_guidance(concept: Tensor, empty: Tensor, settings: EditSettings, user_mask: Tensor | None = None) -> Tensor:
    """G = d s (D_c - D_empty) U, [B, C, H, W], with d = -1 to remove and the user's mask U, [B or 1, 1, H, W] in 0..1.

    Differences of denoised predictions are -kappa times differences of noise predictions, so the formula and its masks are
    the paper's for eps-, v- and flow models alike.
    """
    guidance = (settings.scale if settings.add else -settings.scale) * (concept - empty)
    return guidance if user_mask is None else guidance * user_mask


def guidance_mask(guidance: Tensor, settings: EditSettings, word_map: Tensor | None, smoothing: float = OFFICIAL_SMOOTHING) -> Tensor:
    """M of the concept's mask mode: M1 M2, M1, M2 or 1; [B, 1, H, W] float32.

    Args:
        guidance: [B, C, H, W] G.
        word_map: [B, h, w] the concept's summed attention; ValueError without it where the mode needs attention.
    """
    mask = torch.ones_like(guidance[:, :1])
    if settings.mask_mode in ("intersect", "noise"):
        mask = noise_mask(guidance, settings.threshold)
    if settings.needs_attention:
        if word_map is None:
            raise ValueError(f"mask mode {settings.mask_mode!r} needs the concept's attention map")
        height, width = guidance.shape[-2:]
        mask = mask * attention_mask(word_map, settings.threshold, height, width, smoothing)
    return mask


def found_threshold(
    guidance: Tensor, settings: EditSettings, word_map: Tensor | None, smoothing: float = OFFICIAL_SMOOTHING
) -> Tensor | None:
    """The quantile at which M1, or else M2, is cut, [B], where the threshold of 0 leaves it to the maps; arguments as for `guidance_mask`."""
    if settings.threshold or settings.mask_mode == "none":
        return None
    single = replace(settings, mask_mode="attention" if settings.needs_attention else "noise")
    return 1 - guidance_mask(guidance, single, word_map, smoothing).mean((1, 2, 3))


def apply_guidance(base: Tensor, guidances: Iterable[Tensor], masks: Iterable[Tensor]) -> Tensor:
    """D' = D_base + sum over concepts of M_c G_c."""
    for guidance, mask in zip(guidances, masks, strict=True):
        base = base + mask * guidance
    return base
