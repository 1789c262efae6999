"""Where a concept's words are attended to in one step, over all entries of its conditioning."""

from typing import Any

from torch import Tensor

from ....ledits.attention import paste_area, weighted_mean
from ....ledits.prompt import Prompt, word_maps
from ..sampling.conditioning import weight_map
from .recorder import Recorder


def concept_word_maps(recorder: Recorder, name: str, conds: list[dict[str, Any]], prompt: Prompt, x: Tensor) -> Tensor:
    """[B, h, w, words] of a concept's prompt at a state x, [B, C, H, W]; RuntimeError where no layer of the network was recorded.

    A concept may be asked for several areas: the maps of its entries are combined as ComfyUI combines their predictions.
    """
    latent_size = (x.shape[-2], x.shape[-1])
    size = recorder.adapter.map_size(*latent_size)
    entries = []
    for cond in conds:
        key = name, cond["uuid"]
        if key in recorder.sums:
            maps = word_maps(recorder.maps(key, x.device), prompt)
            if "area" in cond:
                maps = paste_area(maps, cond["area"], *latent_size, size)
            entries.append((weight_map(cond, latent_size, maps), maps))
    if not entries:
        raise RuntimeError(
            f"LEDITS++ recorded no cross-attention for the concept {prompt.text!r} at maps of {size[1]}x{size[0]} pixels. "
            "Allow more parts of the network or another resolution in the attention store, or use mask_mode 'noise'."
        )
    return weighted_mean(entries)
