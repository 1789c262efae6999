"""Prompts: ComfyUI's CLIP gives the conditioning and says which tokens are words."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...ledits.tokens import WORD_END, Prompt, prompt_of
from .types import Conditioning


def encode(clip: Any, text: str) -> Conditioning:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def tokenize(clip: Any, text: str) -> Prompt:
    """The prompt's words and their columns. No words for text encoders of another kind than CLIP."""
    by_encoder = clip.tokenize(text, return_word_ids=True)
    # SDXL's two encoders share the vocabulary and the columns; either tells where the words are.
    chunks = by_encoder.get("l", by_encoder.get("g", by_encoder.get("h", [])))
    pieces, column = [], 0
    for chunk in chunks:
        for token, _, word in chunk:
            if word:  # start, end and padding belong to word 0
                pieces.append((column, _piece(clip, token)))
            column += 1
    return prompt_of(text, pieces, column)


def _piece(clip: Any, token: Any) -> str:
    if isinstance(token, Tensor | dict):
        return f"embedding{WORD_END}"
    return clip.tokenizer.untokenize([(token, 1.0)])[0][1]
