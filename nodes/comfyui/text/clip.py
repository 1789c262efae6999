"""CLIP, alone (SD 1.5, SD 2.x) or as a pair with one vocabulary (SDXL): one token is one column of the encoding."""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ....ledits.prompt import Prompt, group_subwords

ENCODERS = ("l", "g", "h")
WORD_END = "</w>"  # CLIP's vocabulary marks the last subword of a word so
# It writes each byte of UTF-8 as a letter: the printable ones of Latin-1 as themselves, the others from U+0100 on.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_OTHERS = (byte for byte in range(256) if byte not in _PRINTABLE)
BYTES = {chr(byte): bytes([byte]) for byte in _PRINTABLE} | {chr(256 + i): bytes([byte]) for i, byte in enumerate(_OTHERS)}
EMBEDDING = re.compile(r"embedding:([^\s,:()<\[]+)")

Tokens = dict[str, list[list[tuple[Any, ...]]]]
"""ComfyUI's tokens: for each encoder its chunks of (token id or embedding vector, weight, word number)."""


def has_made(tokens: Tokens) -> bool:
    """Whether CLIP made these tokens and nothing else did: beside T5 and others the network reads the other encoder's tokens."""
    return bool(tokens) and set(tokens) <= set(ENCODERS)


def read_words(clip: Any, text: str, tokens: Tokens) -> Prompt:
    # SDXL's two encoders share the vocabulary and the columns; either tells where the words are.
    columns = [(token, word) for chunk in next(iter(tokens.values())) for token, _, word in chunk]
    return group_subwords(text, _subwords(clip, text, columns), len(columns))


def has_embedding(tokens: Tokens) -> bool:
    """Whether any token is the vector of a textual-inversion embedding."""
    return any(isinstance(token[0], Tensor | dict) for chunks in tokens.values() for chunk in chunks for token in chunk)


def _subwords(clip: Any, text: str, columns: list[tuple[Any, int]]) -> Iterator[tuple[int, bytes, bool]]:
    """Index, bytes and whether a word ends, of every token but start, end and padding, whose word is 0."""
    embeddings = _embedding_names(text, columns)
    first = {word: index for index, (_, word) in reversed(list(enumerate(columns)))}
    last = {word: index for index, (_, word) in enumerate(columns)}
    for index, (token, word) in enumerate(columns):
        if word in embeddings:
            # All vectors of an embedding are one word, also where a long one continues in the next chunk.
            yield index, embeddings[word].encode() if index == first[word] else b"", index == last[word]
        elif word:
            entry = clip.tokenizer.untokenize([(token, 1.0)])[0][1]
            letters = entry.removesuffix(WORD_END)
            yield index, b"".join(BYTES.get(letter, letter.encode()) for letter in letters), entry.endswith(WORD_END)


def _embedding_names(text: str, columns: list[tuple[Any, int]]) -> dict[int, str]:
    """The textual-inversion embeddings among the tokens: file name, as typed, by word number."""
    words = list(dict.fromkeys(word for token, word in columns if isinstance(token, Tensor | dict)))
    names = EMBEDDING.findall(text)
    # ComfyUI drops the embeddings that it does not find, and does not say which.
    return dict(zip(words, names if len(names) == len(words) else ["embedding"] * len(words), strict=True))
