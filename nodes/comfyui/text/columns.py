"""Which token each column of a prompt's encoding comes from.

Text encoders cut templates off, keep the last tokens only, or stand one behind the other. All that is done by ComfyUI's text model,
whatever its encoders return: in their place it is given stand-ins that return each token's number instead of its meaning.
"""

import copy
from itertools import count
from typing import Any

import comfy.model_management
import torch
from comfy.sd1_clip import SDClipModel
from torch import Tensor

Tokens = dict[str, list[list[tuple[Any, ...]]]]
"""ComfyUI's tokens: for each encoder its chunks of (token id or embedding vector, weight, word number)."""

MORE_ENCODINGS = ("conditioning_mt5xl", "conditioning_llama3", "conditioning_byt5small")  # that networks read behind the first one
READ_BY_ID = {"t5xxl_ids": ("t5xxl", 512), "text_input_ids": ("hidream_o1", 0)}  # tokens that the network encodes itself, and padding
OFFSET = "txt_offset"  # of Lens' encoder, which cuts its template off itself


def number_tokens(tokens: Tokens) -> Tokens:
    """The tokens with their own numbers, counted from 1 through all encoders, in place of their words'; all of weight 1."""
    numbers = count(1)
    return {encoder: [[(token[0], 1.0, next(numbers)) for token in chunk] for chunk in chunks] for encoder, chunks in tokens.items()}


def flatten(chunks: list[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    return [token for chunk in chunks for token in chunk]


def read_columns(model: Any, numbered: Tokens) -> list[int]:
    """The number of the token in each column that the network reads; 0 in those of no token. no columns of an unknown kind."""
    encoders = {name: part for name, part in model.named_children() if isinstance(part, SDClipModel) or hasattr(part, OFFSET)}
    if len(encoders) < len(list(model.children())):
        return []
    stand_in = copy.copy(model)
    stand_in._modules = {name: _NumberEncoder(part) for name, part in encoders.items()}
    encoding, _, *more = stand_in.encode_token_weights(numbered)
    options = more[0] if more else {}
    for ids, (encoder, length) in READ_BY_ID.items():
        if ids in options:
            numbers = [number for _, _, number in flatten(numbered[encoder])]
            return numbers + [0] * (length - len(numbers))
    encodings = encoding, *(options[name] for name in MORE_ENCODINGS if name in options)
    return [number for part in encodings for number in _read_numbers(part)]


class _NumberEncoder:
    """Stands in for a text encoder: encodes each token as its number."""

    def __init__(self, encoder: Any):
        self._width = encoder.transformer.get_input_embeddings().weight.shape[-1]
        layers = getattr(encoder, "layer", None)
        self._layers = (len(layers),) if isinstance(layers, list) else (2,) if layers == "all" else ()
        self._offset = getattr(encoder, OFFSET, 0)
        self._returns_mask = getattr(encoder, "return_attention_masks", False)

    def encode_token_weights(self, chunks: list[list[tuple[Any, ...]]]) -> tuple[Any, ...]:
        device = comfy.model_management.intermediate_device()
        numbers = [number for chunk in chunks for number in self._encoded(chunk)][self._offset :]
        encoding = torch.tensor(numbers, dtype=torch.int32, device=device)[:, None].expand(1, *self._layers, len(numbers), self._width)
        outputs = encoding, torch.zeros(1, self._width, device=device)
        return (*outputs, {"attention_mask": torch.ones(1, len(numbers), device=device)}) if self._returns_mask else outputs

    def _encoded(self, chunk: list[tuple[Any, ...]]) -> list[int]:
        # ComfyUI drops the vectors of another encoder's embedding, and fills the chunk up.
        numbers = [number for token, _, number in chunk if not isinstance(token, Tensor) or token.shape[-1] == self._width]
        return numbers + [0] * (len(chunk) - len(numbers))


def _read_numbers(encoding: Tensor) -> list[int]:
    # CLIP-L and CLIP-G stand beside each other in one column: with the same tokens, so that either tells the words.
    return encoding.transpose(0, -2).flatten(1).amax(1).tolist()
