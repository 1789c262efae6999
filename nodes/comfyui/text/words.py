"""Encodes prompts, and finds their words in what the network reads."""

import re
from typing import Any

from comfy.sd1_clip import escape_important, token_weights, unescape_important
from torch import Tensor

from ....ledits.prompt import Prompt
from ....ledits.words import match_words
from ..types import Conditioning
from .columns import flatten, number_tokens, read_columns
from .pieces import FIRST_EMBEDDING, find_tokenizers, read_pieces
from .spelling import reads_words

EMBEDDING = re.compile(r"embedding:([^\s,:()<\[]+)")


def encode(clip: Any, text: str) -> Conditioning:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def words_of(clip: Any, text: str) -> Prompt:
    """The words of a text and their tokens; of length 0, without words, where they cannot be found."""
    tokens = clip.tokenize(text, return_word_ids=True)
    numbered = number_tokens(tokens)
    columns = read_columns(clip.cond_stage_model, numbered)
    tokenizers = find_tokenizers(clip, numbered, set(columns))
    if not tokenizers or not all(tokenizer and reads_words(tokenizer) for tokenizer in tokenizers.values()):
        return Prompt(text)
    plain = "".join(unescape_important(part) for part, _ in token_weights(escape_important(text), 1.0))
    names = {chr(FIRST_EMBEDDING + index): name for index, name in enumerate(EMBEDDING.findall(plain))}
    for letter, name in names.items():
        plain = plain.replace(f"embedding:{name}", letter, 1)
    words = match_words(plain, read_pieces(clip, plain, tokens, numbered, tokenizers, set(columns)))
    indices = tuple(tuple(index for index, number in enumerate(columns) if number in found) for _, found in words)
    return Prompt(text, tuple("".join(names.get(letter, letter) for letter in word) for word, _ in words), indices, len(columns))


def missing_embeddings(clip: Any, text: str) -> list[str]:
    """Textual-inversion embeddings that the prompt names and ComfyUI does not find; it would drop them without a word."""
    return [name for name in EMBEDDING.findall(text) if not _is_found(clip, name)]


def _is_found(clip: Any, embedding: str) -> bool:
    tokens = clip.tokenize(f"embedding:{embedding}")
    return any(isinstance(token[0], Tensor) for chunks in tokens.values() for token in flatten(chunks))
