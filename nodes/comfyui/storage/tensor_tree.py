"""Trees of dicts, lists, tuples, numbers, texts, None and tensors as JSON, with the tensors kept beside it under names."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor

MAX_DEPTH = 12
KINDS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The kinds of tensors that a tree may hold, under safetensors' names."""


class UnstorableError(ValueError):
    """Something that a file cannot hold. The text continues "the inversion ...": what it is and what to do."""


class BrokenTreeError(ValueError):
    """Something that no writer wrote. The text continues "the file ...": what is wrong."""


class TreeWriter:
    """Turns trees into JSON, and collects their tensors under names on the way."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[int, tuple[Tensor, str]] = {}

    def encode(self, value: Any, part: str, key: str = "", depth: int = 0) -> Any:
        """JSON of one value: dicts as {"dict": ...}, tuples as {"tuple": ...}, tensors as {"tensor": name}, the rest as itself.

        Args:
            part: which tree this is, for the message.
            key: the innermost dict key on the way here.
        """
        if depth > MAX_DEPTH:
            raise UnstorableError(
                f"has a {part} nested more than {MAX_DEPTH} levels deep, which a file cannot hold: invert with a plain one"
            )
        if isinstance(value, Tensor):
            return {"tensor": self._name(value, part, key)}
        if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, list | tuple):
            inner = [self.encode(item, part, key, depth + 1) for item in value]
            return {"tuple": inner} if isinstance(value, tuple) else inner
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            return {"dict": {name: self.encode(item, part, name, depth + 1) for name, item in value.items()}}
        raise _unstorable(part, key, repr(value) if isinstance(value, float) else type(value).__name__)

    def _name(self, tensor: Tensor, part: str, key: str) -> str:
        if id(tensor) not in self._known:
            if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.dtype not in KINDS.values():
                raise _unstorable(part, key, f"{type(tensor).__name__} of {tensor.dtype}")
            name = f"extra.{len(self.tensors)}"
            # A copy: the library refuses tensors that share memory.
            self.tensors[name] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            self._known[id(tensor)] = tensor, name
        return self._known[id(tensor)][1]


def _unstorable(part: str, key: str, what: str) -> UnstorableError:
    place = f"{key!r} in its {part}" if key else f"something in its {part}"
    return UnstorableError(
        f"has {place} ({what}), which a file cannot hold: take out the node that puts it there, invert again and save that"
    )


def read_tree(value: Any, tensors: dict[str, Tensor], used: set[str], depth: int = 0) -> Any:
    """What `TreeWriter.encode` was given; notes the names of the tensors it meets in `used`.

    Raises:
        BrokenTreeError: no writer wrote this.
    """
    if depth > MAX_DEPTH:
        raise BrokenTreeError(f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, list):
        return [read_tree(item, tensors, used, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = next(iter(value.items())) if len(value) == 1 else (None, None)
    if kind == "tuple" and isinstance(inner, list):
        return tuple(read_tree(item, tensors, used, depth + 1) for item in inner)
    if kind == "dict" and isinstance(inner, dict):
        return {name: read_tree(item, tensors, used, depth + 1) for name, item in inner.items()}
    if kind == "tensor" and isinstance(inner, str) and inner in tensors:
        used.add(inner)
        return tensors[inner]
    raise BrokenTreeError("refers to something that it does not hold")


def parse(text: str | bytes) -> Any:
    """JSON without what JSON should not have: doubled keys, NaN, infinities, bottomless nesting.

    Raises:
        BrokenTreeError: it has one of these, or is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BrokenTreeError("has a header that is no JSON") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value
