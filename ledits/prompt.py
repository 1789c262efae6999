"""Which columns of a cross-attention map belong to which words of the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention_store import fold_back

WORD_END = "</w>"
"""CLIP's byte-pair vocabulary marks the last piece of a word so."""


@dataclass(frozen=True)
class Prompt:
    """A prompt as the text encoder sees it.

    Attributes:
        text: as typed.
        words: its words in order, without start, end and padding.
        columns: for each word the places of its tokens in the text encoder's output.
        length: columns of the text encoder's output: 77, or a multiple of it for long prompts.
    """

    text: str
    words: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    length: int


def prompt_of(text: str, pieces: Iterable[tuple[int, str]], length: int) -> Prompt:
    """Joins the pieces of each word.

    Args:
        pieces: column and vocabulary entry of every real token, in order.
    """
    words: list[str] = []
    columns: list[tuple[int, ...]] = []
    inside = False
    for column, piece in pieces:
        name = piece.removesuffix(WORD_END)
        if inside:
            words[-1] += name
            columns[-1] += (column,)
        else:
            words.append(name)
            columns.append((column,))
        inside = not piece.endswith(WORD_END)
    return Prompt(text, tuple(words), tuple(columns), length)


def positions_of(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Places of the wanted words among `words`; an empty request is all of them. Every occurrence counts, case does not.

    Args:
        wanted: words separated by commas or spaces; one that the tokenizer splits, such as "t-shirt", is found as a whole.

    Raises:
        ValueError: naming the word that is missing and those that are there.
    """
    if not wanted.strip():
        return tuple(range(len(words)))
    lowered = [word.lower() for word in words]
    found: set[int] = set()
    for word in re.split(r"[,\s]+", wanted.strip(", \t\n").lower()):
        places = _occurrences(lowered, word)
        if not places:
            raise ValueError(f"{word!r} is not a word of the prompt; its words are: {', '.join(words)}")
        found |= places
    return tuple(sorted(found))


def word_maps(maps: Tensor, prompt: Prompt) -> Tensor:
    """Sums the columns of each word's tokens: [..., columns] to [..., words].

    Raises:
        ValueError: the columns are neither the prompt's nor whole repetitions of them.
    """
    maps = fold_back(maps, prompt.length)
    return torch.stack([maps[..., list(columns)].sum(-1) for columns in prompt.columns], -1)


def merge_words(maps: Tensor, positions: tuple[int, ...]) -> Tensor:
    """Sum over the chosen words: [..., words] to [...]."""
    return maps[..., list(positions)].sum(-1)


def _occurrences(words: list[str], wanted: str) -> set[int]:
    places: set[int] = set()
    for start in range(len(words)):
        joined = ""
        for end in range(start, len(words)):
            joined += words[end]
            if joined == wanted:
                places.update(range(start, end + 1))
            if len(joined) >= len(wanted):
                break
    return places
