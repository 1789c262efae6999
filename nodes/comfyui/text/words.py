"""Encodes prompts, and finds their words in what the network reads."""

from typing import Any

from ....ledits.prompt import Prompt
from ..types import Conditioning
from . import clip as clip_tokenizer

TOKENIZERS = (clip_tokenizer,)  # one module for each kind of tokenizer


def encode(clip: Any, text: str) -> Conditioning:
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def words_of(clip: Any, text: str) -> Prompt:
    """The words of a text and their tokens; of length 0, without words, where the text encoder is of an unknown kind."""
    tokens = clip.tokenize(text, return_word_ids=True)
    for tokenizer in TOKENIZERS:
        if tokenizer.has_made(tokens):
            return tokenizer.read_words(clip, text, tokens)
    return Prompt(text)


def missing_embeddings(clip: Any, text: str) -> list[str]:
    """Textual-inversion embeddings that the prompt names and ComfyUI does not find; it would drop them without a word."""
    return [name for name in clip_tokenizer.EMBEDDING.findall(text) if not clip_tokenizer.has_embedding(clip.tokenize(f"embedding:{name}"))]
