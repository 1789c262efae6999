"""The words of a typed text, and which tokens of its text encoders spell each of them."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import product

Piece = tuple[frozenset[int], bytes | None]
"""Tokens and the text that they stand for together; None for text outside of the vocabulary."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SEPARATORS = {"COMMA": ",", "SEMICOLON": ";"}  # by the last word of their names in Unicode
UNSPACED = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")  # scripts without spaces, in Unicode's names


def match_words(text: str, encoders: Iterable[Sequence[Piece]]) -> list[tuple[str, frozenset[int]]]:
    """The words of a text in order, each with its tokens of all encoders; without those that no encoder knows.

    Words that share a token are one word. Of punctuation only what has tokens of its own is a word.

    Args:
        encoders: of each text encoder, what its tokens of this text stand for, in order.
    """
    spans = list(split_words(text))
    tokens: list[frozenset[int]] = [frozenset()] * len(spans)
    typed = list(_typed(text, spans))
    for pieces in encoders:
        unknown = frozenset[int]().union(*(numbers for numbers, spelled in pieces if spelled is None))
        for word, found in enumerate(_align(typed, list(_spelled(pieces)), len(spans))):
            if not found <= unknown:
                tokens[word] |= found
    of_words = frozenset[int]().union(*(found for (begin, _), found in zip(spans, tokens, strict=True) if not is_mark(text[begin])))
    merged: list[tuple[int, int, frozenset[int]]] = []
    for (begin, end), found in zip(spans, tokens, strict=True):
        own = found - of_words if is_mark(text[begin]) else found
        if merged and merged[-1][2] & own:
            first, _, others = merged.pop()
            merged.append((first, end, others | own))
        elif own:
            merged.append((begin, end, own))
    return [(text[begin:end], found) for begin, end, found in merged]


def split_words(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each word and of each run of punctuation; emoji, and characters of scripts without spaces, are words of their own."""
    begin, before = 0, ""
    for index, char in enumerate(text + " "):
        kind = before if _extends(char) else _kind(char)
        if kind != before or (kind == "single" and not _extends(char)):
            if before:
                yield begin, index
            begin, before = index, kind


def is_unspaced(char: str) -> bool:
    """Whether a character is an emoji or of a script without spaces, where a word is any run of characters."""
    return _kind(char) == "single"


def is_mark(char: str) -> bool:
    """Whether a character is punctuation or a sign of mathematics or money."""
    return _kind(char) == "mark"


def plain_separators(text: str) -> str:
    """A text with the commas and semicolons of any script as "," and ";"."""
    last_words = (unicodedata.name(char, "").rpartition(" ")[2] if unicodedata.category(char) == "Po" else "" for char in text)
    return "".join(SEPARATORS.get(name, char) for name, char in zip(last_words, text, strict=True))


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] in "ZC" and category != "Co":
        return ""
    if category[0] == "P" or category in ("Sc", "Sk", "Sm"):
        return "mark"
    return "single" if category in ("So", "Co") or unicodedata.name(char, "").startswith(UNSPACED) else "letters"


def _extends(char: str) -> bool:
    """Whether a character belongs to the one before it: an accent, a vowel sign, an invisible joiner."""
    category = unicodedata.category(char)
    return category[0] == "M" or category == "Cf"


def _typed(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Each character of the text with its word; a space, of no word, behind each word that has one."""
    for word, (begin, end) in enumerate(spans):
        yield from ((folded, word) for char in text[begin:end] for folded in _fold(char))
        if text[end : end + 1].isspace():
            yield " ", -1


def _spelled(pieces: Sequence[Piece]) -> Iterator[tuple[str, frozenset[int]]]:
    """Each character that tokens stand for, with the tokens that hold a byte of it."""
    spelled = [(tokens, UNKNOWN.encode() if piece is None else piece) for tokens, piece in pieces]
    owners = [tokens for tokens, piece in spelled for _ in piece]
    begin = 0
    for char in b"".join(piece for _, piece in spelled).decode(errors="surrogateescape"):
        end = begin + len(char.encode(errors="surrogateescape"))
        tokens = frozenset[int]().union(*owners[begin:end])
        yield from ((folded, tokens) for folded in (" " if char.isspace() else _fold(char)))
        begin = end


def _fold(char: str) -> str:
    """What is left of a character whatever a tokenizer does to case, accents and variants of it."""
    folded = unicodedata.normalize("NFKD", char.casefold())
    return "".join(part for part in folded if _kind(part) and not unicodedata.combining(part))


def _align(typed: list[tuple[str, int]], spelled: list[tuple[str, frozenset[int]]], count: int) -> list[frozenset[int]]:
    """The tokens of each word, by the longest runs of characters that both sides share."""
    found = [frozenset[int]()] * count
    matcher = SequenceMatcher(None, "".join(char for char, _ in typed), "".join(char for char, _ in spelled), autojunk=False)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if tag in ("equal", "replace"):
            words = [word for char, word in typed[begin:end] if char != " "]
            owners = [tokens for char, tokens in spelled[first:last] if char != " "]
            # One token may stand for a whole run of letters that the vocabulary lacks.
            pairs = zip(words, owners, strict=True) if len(words) == len(owners) else product(words, owners)
            for word, tokens in pairs:
                found[word] |= tokens
    return found
