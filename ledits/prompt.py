"""Which tokens of a cross-attention map belong to which words of the prompt."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import merge_repeated_context


@dataclass(frozen=True)
class Prompt:
    """A prompt as typed, and its words as the network reads them."""

    text: str
    words: tuple[str, ...] = ()  # in order, without start, end and padding
    token_indices: tuple[tuple[int, ...], ...] = ()  # of each word's tokens in the encoding that the network reads
    length: int = 0  # tokens of that encoding; 0 where the text encoder's kind is unknown, so that no word can be found


def group_subwords(text: str, subwords: Iterable[tuple[int, str, bool]], length: int) -> Prompt:
    """Joins subwords to words; given are index, letters and whether a word ends, of every real token in order."""
    words: list[str] = []
    indices: list[tuple[int, ...]] = []
    begins_word = True
    for index, letters, ends_word in subwords:
        if begins_word:
            words.append("")
            indices.append(())
        words[-1] += letters
        indices[-1] += (index,)
        begins_word = ends_word
    return Prompt(text, tuple(words), tuple(indices), length)


def find_words(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Indices of wanted words, separated by commas or spaces; "" selects all. Every occurrence counts, case does not.

    A word that the tokenizer splits, such as "t-shirt", is found as a whole. ValueError names one that is missing.
    """
    if not wanted.strip():
        return tuple(range(len(words)))
    lowered = [word.lower() for word in words]
    found: set[int] = set()
    for word in re.split(r"[,\s]+", wanted.strip(", \t\n").lower()):
        indices = _find_occurrences(lowered, word)
        if not indices:
            raise ValueError(f"{word!r} is not a word of the prompt; its words are: {', '.join(words)}")
        found |= indices
    return tuple(sorted(found))


def word_maps(maps: Tensor, prompt: Prompt) -> Tensor:
    """Sums the maps of each word's tokens, [..., tokens] to [..., words]; ValueError as in `merge_repeated_context`."""
    maps = merge_repeated_context(maps, prompt.length)
    return torch.stack([maps[..., list(indices)].sum(-1) for indices in prompt.token_indices], -1)


def merge_words(maps: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Sum over the chosen words: [..., words] to [...]."""
    return maps[..., list(indices)].sum(-1)


def _find_occurrences(words: list[str], wanted: str) -> set[int]:
    """Indices of all runs of words that spell the wanted one."""
    found: set[int] = set()
    for start in range(len(words)):
        joined = ""
        for end in range(start, len(words)):
            joined += words[end]
            if joined == wanted:
                found.update(range(start, end + 1))
            if len(joined) >= len(wanted):
                break
    return found
