"""Which tokens of a cross-attention map belong to which words of the prompt."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import merge_repeated_context

MINUS = "-\u2212\uff0d"  # as typed, in mathematics, and full width
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")  # scripts in which each letter counts as a word


@dataclass(frozen=True)
class Prompt:
    """A prompt as typed, and its words as the network reads them."""

    text: str
    words: tuple[str, ...] = ()  # in order, without start, end and padding
    token_indices: tuple[tuple[int, ...], ...] = ()  # of each word's tokens in the encoding that the network reads
    length: int = 0  # tokens of that encoding; 0 where the text encoder's kind is unknown, so that no word can be found


def group_subwords(text: str, subwords: Iterable[tuple[int, bytes, bool]], length: int) -> Prompt:
    """Joins subwords to words; given are index, bytes and whether a word ends, of every real token in order.

    Bytes, because the subwords of byte-level BPE may split a letter.
    """
    words: list[bytes] = []
    indices: list[tuple[int, ...]] = []
    begins_word = True
    for index, part, ends_word in subwords:
        if begins_word and part:  # further vectors of an embedding have no letters
            words.append(b"")
            indices.append(())
        words[-1] += part
        indices[-1] += (index,)
        begins_word = ends_word or unicodedata.name(_decode(words[-1])[-1], "").startswith(UNSPACED)
    return Prompt(text, tuple(map(_decode, words)), tuple(indices), length)


def find_words(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Indices of wanted words, separated by the commas of any script or by spaces; "" selects all, and "-red" all but red.

    Every occurrence counts, case does not. A word that is split, such as "t-shirt", is found as a whole. ValueError names a missing one.
    """
    folded = [_fold(word) for word in words]
    chosen, left_out = set[int](), set[int]()
    for word in "".join(" " if _is_separator(letter) else letter for letter in wanted).split():
        # Only before a word of the prompt is it a minus: "-_-" may be a word itself.
        unwanted = _find_occurrences(folded, _fold(word[1:])) if word[0] in MINUS else set()
        found = unwanted or _find_occurrences(folded, _fold(word))
        if not found:
            raise ValueError(f"{word!r} is not a word of the prompt; its words are: {', '.join(words)}")
        (left_out if unwanted else chosen).update(found)
    indices = (chosen or set(range(len(words)))) - left_out
    if left_out and not indices:
        raise ValueError(f"{wanted!r} leaves no word of the prompt; its words are: {', '.join(words)}")
    return tuple(sorted(indices))


def word_maps(maps: Tensor, prompt: Prompt) -> Tensor:
    """Sums the maps of each word's tokens, [..., tokens] to [..., words]; ValueError as in `merge_repeated_context`."""
    maps = merge_repeated_context(maps, prompt.length)
    return torch.stack([maps[..., list(indices)].sum(-1) for indices in prompt.token_indices], -1)


def merge_words(maps: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Sum over the chosen words: [..., words] to [...]."""
    return maps[..., list(indices)].sum(-1)


def _decode(word: bytes) -> str:
    return word.decode(errors="replace")


def _fold(text: str) -> str:
    """Composed as CLIP reads it ("é" may be typed as two characters), in no case."""
    return unicodedata.normalize("NFC", text.casefold())


def _is_separator(letter: str) -> bool:
    return unicodedata.category(letter) == "Po" and unicodedata.name(letter, "").endswith(("COMMA", "SEMICOLON"))


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
