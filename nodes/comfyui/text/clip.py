"""Prompts: ComfyUI's CLIP gives the conditioning and says which tokens are words."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from ...ledits.tokens import WORD_END, Prompt, prompt_of
from .types import Conditioning

_EMBEDDING = re.compile(r"embedding:([^\s,:()<\[]+)")


def encode(clip: Any, text: str) -> Conditioning:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def tokenize(clip: Any, text: str) -> Prompt:
    """The prompt's words and their columns. No words for text encoders of another kind than CLIP."""
    columns = _columns(clip, text)
    names = _embedding_names(text, columns)
    starts = {word: column for column, (_, word) in reversed(list(enumerate(columns)))}
    ends = {word: column for column, (_, word) in enumerate(columns)}
    pieces = []
    for column, (token, word) in enumerate(columns):
        if word in names:
            # All vectors of an embedding are one word, also where a long one goes on in the next chunk.
            pieces.append((column, (names[word] if starts[word] == column else "") + (WORD_END if column == ends[word] else "")))
        elif word:  # start, end and padding belong to word 0
            pieces.append((column, clip.tokenizer.untokenize([(token, 1.0)])[0][1]))
    return prompt_of(text, pieces, len(columns))


def missing_embeddings(clip: Any, text: str) -> list[str]:
    """Textual-inversion embeddings that the prompt names and ComfyUI does not find; it would leave them out without a word."""
    there = {
        name: any(isinstance(token, Tensor | dict) for token, _ in _columns(clip, f"embedding:{name}")) for name in _EMBEDDING.findall(text)
    }
    return [name for name, found in there.items() if not found]


def _columns(clip: Any, text: str) -> list[tuple[Any, int]]:
    """Token and number of the word of each column; none for text encoders of another kind than CLIP."""
    by_encoder = clip.tokenize(text, return_word_ids=True)
    # SDXL's two encoders share the vocabulary and the columns; either tells where the words are.
    chunks = by_encoder.get("l", by_encoder.get("g", by_encoder.get("h", [])))
    return [(token, word) for chunk in chunks for token, _, word in chunk]


def _embedding_names(text: str, columns: list[tuple[Any, int]]) -> dict[int, str]:
    """The textual-inversion embeddings among a prompt's tokens: by the number of the word its file's name, as typed."""
    words = list(dict.fromkeys(word for token, word in columns if isinstance(token, Tensor | dict)))
    names = _EMBEDDING.findall(text)
    # ComfyUI leaves out what it does not find, and does not say which.
    return dict(zip(words, names if len(names) == len(words) else ["embedding"] * len(words), strict=True))
