"""Which tokens of a cross-attention map belong to which words of the prompt."""

import re
import unicodedata
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import merge_repeated_context
from .words import is_mark, is_unspaced, plain_separators

MINUS = "-\u2212\uff0d"  # as typed, in mathematics, and full width


@dataclass(frozen=True)
class Prompt:
    """A prompt as typed, and its words as the network reads them."""

    text: str
    words: tuple[str, ...] = ()  # in order, without start, end and padding
    token_indices: tuple[tuple[int, ...], ...] = ()  # of each word's tokens in the encoding that the network reads
    length: int = 0  # tokens of that encoding; 0 where the text encoder's kind is unknown, so that no word can be found


def find_words(words: tuple[str, ...], wanted: str) -> tuple[int, ...]:
    """Indices of wanted words, separated by the commas of any script or by spaces; "" selects all, and "-red" all but red.

    Every occurrence counts, case does not. A word that is split, such as "t-shirt", is found as a whole, and a word of a script without
    spaces within any run of it. ValueError names a missing one.
    """
    folded = [_fold(word) for word in words]
    chosen, left_out = set[int](), set[int]()
    for word in re.sub("[,;]", " ", plain_separators(wanted)).split():
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


def split_minus(text: str) -> tuple[str, bool]:
    """A text without the minus before it, and whether it has one."""
    text = text.strip()
    return (text[1:].strip(), True) if text[:1] and text[0] in MINUS else (text, False)


def word_maps(maps: Tensor, prompt: Prompt) -> Tensor:
    """Sums the maps of each word's tokens, [..., tokens] to [..., words]; ValueError as in `merge_repeated_context`."""
    maps = merge_repeated_context(maps, prompt.length)
    return torch.stack([maps[..., list(indices)].sum(-1) for indices in prompt.token_indices], -1)


def merge_words(maps: Tensor, indices: tuple[int, ...]) -> Tensor:
    """Sum over the chosen words: [..., words] to [...]."""
    return maps[..., list(indices)].sum(-1)


def _fold(text: str) -> str:
    """Composed as CLIP reads it ("é" may be typed as two characters), in no case."""
    return unicodedata.normalize("NFC", text.casefold())


def _find_occurrences(words: list[str], wanted: str) -> set[int]:
    """Indices of all runs of words that spell the wanted one, with its punctuation or, where a prompt has other punctuation, without."""
    return _find_spelled(words, wanted) or _find_spelled([_letters(word) for word in words], _letters(wanted))


def _find_spelled(words: list[str], wanted: str) -> set[int]:
    text, owners = "".join(words), [index for index, word in enumerate(words) for _ in word]
    begins = {0, len(text)} | {at for at in range(1, len(text)) if owners[at] != owners[at - 1]}
    found: set[int] = set()
    for match in re.finditer(f"(?={re.escape(wanted)})", text) if wanted else ():
        begin, end = match.start(), match.start() + len(wanted)
        if all(at in begins or is_unspaced(text[at]) for at in (begin, end)):
            found.update(range(owners[begin], owners[end - 1] + 1))
    return found


def _letters(word: str) -> str:
    return "".join(char for char in word if not is_mark(char))
