"""The masks of one step, cut from what a method saw there: the same way for every method."""

from __future__ import annotations

import importlib

from scripts.host import in_comfy

import torch
from torch import Tensor

in_comfy.pack()
masks = importlib.import_module("ledits_pack.ledits.masks")


def cut(guidance: Tensor, word_map: Tensor | None, threshold: float, smoothing: float) -> dict[str, Tensor]:
    """M1, M2 and M1 M2 by their mask mode, each [h, w] bool; without a word map M2 alone.

    Args:
        guidance: [1, C, h, w] what the concept adds; only its proportions count.
        word_map: [1, rows, columns] the concept's summed attention.
        threshold: lambda.
        smoothing: of the word map; 0 where it is smoothed already.
    """
    height, width = guidance.shape[-2:]
    found = {"noise": masks.noise_mask(guidance, threshold)[0, 0] > 0}
    if word_map is not None:
        found["attention"] = masks.attention_mask(word_map, threshold, height, width, smoothing)[0, 0] > 0
        found["intersect"] = found["attention"] & found["noise"]
    return found


def stacked(seen: list[dict[str, Tensor]], concepts: int) -> dict[str, Tensor]:
    """Masks in the order in which they were cut, step by step and in each step concept by concept, as [steps, concepts, h, w]."""
    return {mode: torch.stack([each[mode] for each in seen]).unflatten(0, (-1, concepts)) for mode in seen[0]}
