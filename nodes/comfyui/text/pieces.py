"""What the tokens of a typed text stand for, without those of a template, of padding, and of where chunks begin and end."""

import re
from collections.abc import Iterator
from itertools import count, groupby, takewhile
from typing import Any

from torch import Tensor

from ....ledits.words import Piece
from .columns import Tokens, flatten
from .spelling import speller

OTHER_TEXTS = ("\N{SNOWMAN}", "zebra 7")  # no text begins or ends with the tokens of both
FIRST_EMBEDDING = 0xE000  # Unicode leaves this character and those behind it to private use: each stands for an embedding here
QUOTES = (r'"(.*?)"', "‘(.*?)’", "“(.*?)”")  # in which ComfyUI looks for glyphs, one kind after the other
HEADING, ENDING = len('Text "'), len('". ')  # of a quote, in bytes

Row = tuple[Any, int, int]  # token id or embedding vector, number of its part of the text (0: typed by nobody), its own number


def find_tokenizers(clip: Any, numbered: Tokens, reached: set[int]) -> dict[str, Any]:
    """The tokenizers of the encoders with tokens that reach the network; others give it but one vector for the whole text. None: unknown."""
    encoders = [encoder for encoder, chunks in numbered.items() if any(number in reached for _, _, number in flatten(chunks))]
    return {encoder: getattr(clip.tokenizer, encoder, getattr(clip.tokenizer, f"clip_{encoder}", None)) for encoder in encoders}


def read_pieces(
    clip: Any, text: str, tokens: Tokens, numbered: Tokens, tokenizers: dict[str, Any], reached: set[int]
) -> Iterator[list[Piece]]:
    """For each tokenizer, what those of its tokens stand for that reach the network.

    No template is known here: what other texts have in common with this one, at their begin and end, is not typed.
    """
    others = [clip.tokenize(other, return_word_ids=True) for other in OTHER_TEXTS]
    for encoder, tokenizer in tokenizers.items():
        pairs = zip(flatten(tokens[encoder]), flatten(numbered[encoder]), strict=True)
        rows = [(token[0], *(token[2:] or (1,)), number) for token, (_, _, number) in pairs]  # a few tokenizers number no parts
        if encoder == "byt5":
            yield list(_read_glyphs(text, [number for _, _, number in rows]))
        else:
            typed = _cut_template(rows, [flatten(other[encoder]) for other in others])
            yield list(_read(tokenizer, [row for row in typed if row[2] in reached]))


def _cut_template(rows: list[Row], others: list[list[tuple[Any, ...]]]) -> list[Row]:
    rows = [row for row in rows if row[1]]
    ids = [None if isinstance(token, Tensor) else token for token, _, _ in rows]
    other_ids = [[token[0] for token in other if token[2:] != (0,)] for other in others]
    front = min(_count_shared(ids, other) for other in other_ids)
    back = min(_count_shared(ids[front:][::-1], other[::-1]) for other in other_ids)
    return rows[front : len(rows) - back]


def _count_shared(ids: list[int | None], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, other, strict=False)))


def _read(tokenizer: Any, rows: list[Row]) -> Iterator[Piece]:
    spell, embeddings = speller(tokenizer), count(FIRST_EMBEDDING)
    for part, group in groupby(rows, lambda row: row[1] if isinstance(row[0], Tensor) else 0):
        if part:  # all vectors of an embedding
            yield frozenset(number for _, _, number in group), chr(next(embeddings)).encode()
        else:
            yield from ((frozenset([number]), spell(token)) for token, _, number in group)


def _read_glyphs(text: str, numbers: list[int]) -> Iterator[Piece]:
    """byT5 draws glyphs: it reads only what is quoted, each quote under a heading of its own, one token a byte."""
    spans = [found.span(1) for quotes in QUOTES for found in re.finditer(quotes, text)]
    quoted, start = [], 0
    for begin, end in spans:
        start += HEADING
        length = len(text[begin:end].encode())
        quoted.append((begin, end, numbers[start : start + length]))
        start += length + ENDING
    before = 0
    for begin, end, tokens in sorted(quoted):
        yield frozenset(), text[before:begin].encode()
        yield from ((frozenset([number]), bytes([byte])) for number, byte in zip(tokens, text[begin:end].encode(), strict=True))
        before = end
    yield frozenset(), text[before:].encode()
