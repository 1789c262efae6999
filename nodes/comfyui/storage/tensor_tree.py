"""Trees of dicts, lists, tuples, numbers, texts, None and tensors as JSON, with the tensors kept beside it under names."""

import math
from typing import Any

import torch
from torch import Tensor

MAX_DEPTH = 12
DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool}
DTYPES |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


class UnstorableError(ValueError):
    """Something that a file cannot hold. The text continues "the inversion ...": what it is and what to do."""


def encode(value: Any, tensors: dict[str, Tensor], part: str, key: str = "", depth: int = 0) -> Any:
    """JSON of one value: dicts as {"dict": ...}, tuples as {"tuple": ...}, tensors as {"tensor": name}, the rest as itself.

    `tensors` receives the tensors; the tree's name, `part`, and the innermost dict's `key` are for the error.
    """
    what = repr(value) if isinstance(value, float) else f"{type(value).__name__} {getattr(value, 'dtype', '')}".strip()
    if depth > MAX_DEPTH:
        what = f"nested more than {MAX_DEPTH} levels deep"
    elif value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    elif type(value) in (Tensor, torch.nn.Parameter) and value.layout == torch.strided and value.dtype in DTYPES:
        name = next((name for name, known in tensors.items() if known is value), f"extra.{len(tensors)}")
        tensors[name] = value
        return {"tensor": name}
    elif isinstance(value, list | tuple):
        items = [encode(item, tensors, part, key, depth + 1) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    elif isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: encode(item, tensors, part, name, depth + 1) for name, item in value.items()}}
    raise UnstorableError(
        f"has {repr(key) if key else 'something'} in its {part} ({what}), which a file cannot hold: "
        "take out the node that puts it there, invert again and save that"
    )


def decode(value: Any, tensors: dict[str, Tensor], used: set[str]) -> Any:
    """What `encode` was given; adds the names of its tensors to `used`. A malformed tree is a ValueError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    if isinstance(value, list):
        return [decode(item, tensors, used) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = next(iter(value.items())) if len(value) == 1 else (None, None)
    if kind == "tuple" and isinstance(inner, list):
        return tuple(decode(item, tensors, used) for item in inner)
    if kind == "dict" and isinstance(inner, dict):
        return {name: decode(item, tensors, used) for name, item in inner.items()}
    if kind == "tensor" and isinstance(inner, str) and inner in tensors:
        used.add(inner)
        return tensors[inner]
    raise ValueError("it refers to something that it does not hold")
