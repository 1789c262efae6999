"""The map of chosen words in an attention input."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ledits.prompt import find_words, merge_words
from .comfyui.types import Attention
from .errors import LeditsInputError


def merge_word_maps(node: str, attention: Attention, concept: int, words: str = "") -> Tensor:
    """The mean map of a concept's chosen words, [B, h, w]; refuses a concept or word that is not there."""
    if concept >= len(attention.prompts):
        raise LeditsInputError(node, "concept", f"is {concept}, but the attention has {len(attention.prompts)}, counted from 0")
    prompt = attention.prompts[concept]
    if not prompt.steps:
        problem = f"is {concept} ({prompt.text!r}), which has no maps: its mask_mode used no attention, or it never acted"
        raise LeditsInputError(node, "concept", problem)
    try:
        word_map = merge_words(prompt.mean(), find_words(prompt.words, words))
    except ValueError as error:
        raise LeditsInputError(node, "words", str(error)) from error
    if not torch.isfinite(word_map).all():
        raise LeditsInputError(node, "attention", "has maps with NaN or infinity: load the model that made them in another precision")
    return word_map
