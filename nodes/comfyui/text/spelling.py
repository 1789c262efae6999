"""What a token of any tokenizer stands for, in bytes: byte-level tokens may split a letter."""

import re
from collections.abc import Callable
from typing import Any

from transformers import ByT5Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}  # byte-level BPE writes each byte as a letter
UNKNOWN = ("<unk>", "[UNK]")
SPACE, WORD_END = "Ġ", "</w>"  # of byte-level BPE, and of CLIP's
BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # SentencePiece, for characters that its vocabulary lacks


def speller(tokenizer: Any) -> Callable[[int], bytes | None]:
    """How to read one of ComfyUI's tokenizers: what a token of it stands for, or None for text that its vocabulary lacks."""
    pieces: dict[int, str] = tokenizer.inv_vocab
    if isinstance(tokenizer.tokenizer, ByT5Tokenizer):
        return lambda token: pieces.get(token, "").encode("latin-1")
    if BYTES.keys() <= set(pieces.values()):
        return lambda token: bytes(BYTES.get(letter, 0) for letter in pieces.get(token, "").replace(WORD_END, SPACE))
    return lambda token: _spell(pieces.get(token, ""))


def reads_words(tokenizer: Any) -> bool:
    """Whether a tokenizer tells one word from the next; with some versions of transformers ComfyUI's Llama and Mistral do not."""
    spell = speller(tokenizer)
    return any((spell(token) or b"").strip() == b"a" for token in tokenizer.tokenizer("a b")["input_ids"])


def _spell(piece: str) -> bytes | None:
    if piece in UNKNOWN:
        return None
    byte = BYTE.fullmatch(piece)
    # "##": a word goes on in WordPiece; "▁": it begins, in SentencePiece.
    return bytes.fromhex(byte[1]) if byte else piece.removeprefix("##").replace("▁", " ").encode()
