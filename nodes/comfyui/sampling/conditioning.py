"""What an edit makes of a concept's inputs: its conditioning asked as the prompt that it differs from, its mask at the latent's size."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..types import Conditioning

# Conditioning keys that belong to the text itself and must not be copied. ComfyUI's text encoders call what the network reads beside
# the encoding conditioning_..., and name the rest by their tokens.
_TEXT_KEYS = {"cross_attn", "pooled_output", "model_conds", "uuid", "clip_start_percent", "clip_end_percent"}
_TEXT_KEYS |= {"num_layers_stacked", "deepstack_embeds", "visual_pos_masks"}
_TEXT_PREFIXES = ("attention_mask", "conditioning_", "t5xxl_", "text_")


def with_options_of(reference: Conditioning, concept: Conditioning) -> Conditioning:
    """The concept with the areas, ranges, hooks, ControlNets, guidance and reference images of the prompt that it differs from."""
    all_options: list[dict[str, Any]] = []
    for _, entry in reference:
        options = {key: value for key, value in entry.items() if key not in _TEXT_KEYS and not key.startswith(_TEXT_PREFIXES)}
        if not any(_is_equal(options, other) for other in all_options):
            all_options.append(options)
    return [[encoding, options | own | _combine_hooks(options, own)] for options in all_options for encoding, own in concept]


def with_own_keyframes(conditioning: Conditioning) -> Conditioning:
    """The same, but hooks with keyframes count them for themselves: for a prediction between the steps."""
    return [[encoding, options | _clone_keyframes(options.get("hooks"))] for encoding, options in conditioning]


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
    """The hooks of the prompt's entry and of the concept's text encoder together."""
    theirs, mine = options.get("hooks"), own.get("hooks")
    if theirs is None or mine is None or theirs.is_subset_of(mine):
        return {}
    # Entries with the same group run in one call.
    return {"hooks": theirs if mine.is_subset_of(theirs) else theirs.clone_and_combine(mine)}


def _clone_keyframes(hooks: Any) -> dict[str, Any]:
    if hooks is None or all(hook.hook_keyframe.is_empty() for hook in hooks.hooks):
        return {}
    own = hooks.clone()
    for hook in own.hooks:
        hook.hook_keyframe = hook.hook_keyframe.clone()
    return {"hooks": own}
