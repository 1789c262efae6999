"""Where a concept's words are attended to in one step, over all entries of its conditioning."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ....ledits.attention import paste_area, weighted_mean
from ....ledits.prompt import Prompt, word_maps
from ...errors import LeditsInputError
from ..types import Conds
from .recorder import Recorder

NOTHING_RECORDED = (
    "has no attention maps of this run: another node skipped the network's attention layers, or changed their size (a cache, tiles, "
    "prompt areas, a downscale). Take that node off this model; or make masks without attention, with mask_mode 'noise' or 'none'"
)


def concept_word_maps(recorder: Recorder, name: str, conds: Conds, prompt: Prompt, x: Tensor) -> Tensor:
    """[B, h, w, words] at a state x, [B, C, H, W]; the maps of a concept's entries combined as ComfyUI combines their predictions."""
    latent_size = (x.shape[-2], x.shape[-1])
    size = recorder.adapter.map_size(*latent_size)
    entries = []
    for cond in conds:
        key = name, cond["uuid"]
        if key in recorder.sums:
            maps = word_maps(recorder.maps(key, x.device), prompt)
            if "area" in cond:
                maps = paste_area(maps, cond["area"], *latent_size, size)
            entries.append((_weight_map(cond, latent_size, maps), maps))
    if not entries:
        raise LeditsInputError("model", NOTHING_RECORDED)
    return weighted_mean(entries)


def _weight_map(cond: dict[str, Any], latent_size: tuple[int, int], maps: Tensor) -> Tensor:
    """How much an entry's prediction counts beside others at each pixel of its maps, [B, h, w, words]; [B or 1, h, w, 1]."""
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
