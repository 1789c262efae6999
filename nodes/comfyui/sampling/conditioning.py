"""Conditionings: a concept asked as the negative prompt is, and how much each entry of a conditioning counts where."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..types import Conditioning

# Conditioning keys that belong to the text itself and must not be copied.
_TEXT_KEYS = {"cross_attn", "pooled_output", "model_conds", "uuid", "clip_start_percent", "clip_end_percent"}


def with_options_of(negative: Conditioning, concept: Conditioning) -> Conditioning:
    """The concept with the negative prompt's areas, ranges, hooks and ControlNets."""
    all_options: list[dict[str, Any]] = []
    for _, entry in negative:
        options = {key: value for key, value in entry.items() if key not in _TEXT_KEYS}
        if not any(_is_equal(options, other) for other in all_options):
            all_options.append(options)
    return [[encoding, options | own | _combine_hooks(options, own)] for options in all_options for encoding, own in concept]


def weight_map(cond: dict[str, Any], latent_size: tuple[int, int], maps: Tensor) -> Tensor:
    """How much an entry's prediction counts beside others at each pixel of the maps, [B or 1, h, w, 1].

    Args:
        cond: the entry, as ComfyUI's samplers hold it.
        maps: [B, h, w, words].
    """
    # A default entry counts where the others leave something.
    strength = 1e-6 if "default" in cond else cond.get("strength", 1.0)
    mask = maps.new_ones(1, *latent_size)
    if "mask" in cond:
        mask = cond["mask"][: len(maps)].to(maps) * cond.get("mask_strength", 1.0)
    if "area" in cond:
        height, width, top, left = cond["area"]
        inside = torch.zeros_like(mask)
        inside[:, top : top + height, left : left + width] = 1
        mask = mask * inside
    weights = F.interpolate(strength * mask[:, None], size=tuple(maps.shape[1:3]), mode="area")
    return weights.movedim(1, -1).repeat(len(maps) // len(mask), 1, 1, 1)


def resize_mask(mask: Tensor | None, latent: Tensor, device: torch.device) -> Tensor | None:
    """U at the latent's size, [B or 1, 1, H, W]."""
    if mask is None:
        return None
    return F.interpolate(mask[:, None].to(device, torch.float32), size=tuple(latent.shape[-2:]), mode="area").clamp(0, 1)


def _is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two entries' options are the same objects or the same numbers and names."""
    plain = int | float | str | tuple
    return one.keys() == other.keys() and all(
        value is other[key] or (isinstance(value, plain) and value == other[key]) for key, value in one.items()
    )


def _combine_hooks(options: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The hooks of the negative prompt's entry and of the concept's text encoder together."""
    theirs, mine = options.get("hooks"), own.get("hooks")
    if theirs is None or mine is None or theirs.is_subset_of(mine):
        return {}
    # Entries with the same group run in one call.
    return {"hooks": theirs if mine.is_subset_of(theirs) else theirs.clone_and_combine(mine)}
