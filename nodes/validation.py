"""Every input against its node's own schema.

ComfyUI compares the widgets' values with it, but neither values that come over a link, nor NaN, nor what untyped nodes pass on.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from .comfyui.attention.store import RunHistory
from .comfyui.types import Attention, AttentionSocket, Concept, ConceptsSocket, ImageInversion, InversionSocket, StoreSocket
from .errors import LeditsInputError, named, require

Requirement = tuple[Callable[[Any], bool], str]  # what an input takes: a test, and a text that says what to do


def validated(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, refusing whatever its schema does not allow before it runs, and named in the errors of what it calls.

    None at an optional input counts as not connected.
    """

    class Validated(node):
        @classmethod
        def execute(cls, **inputs: Any) -> io.NodeOutput:
            schema = node.define_schema()
            with named(schema.display_name):
                for item in schema.inputs:
                    if item.id in inputs and inputs[item.id] is None and item.optional:
                        del inputs[item.id]
                    elif item.id in inputs:
                        _validate(item, inputs[item.id])
                return super().execute(**inputs)

    Validated.__name__, Validated.__qualname__, Validated.__doc__ = node.__name__, node.__qualname__, node.__doc__
    return Validated


def widgets_verdict(node: type[io.ComfyNode], check: Callable[..., Any], **values: Any) -> bool | str:
    """What `validate_inputs` answers before a run, so that the page marks the widgets: True, or what is wrong.

    Args:
        check: raises LeditsInputError; it gets the values, of which linked ones are None, for they are not known yet.
        values: of the widgets that `validate_inputs` names. ComfyUI leaves their ranges to it.
    """
    try:
        for item in node.define_schema().inputs:
            if values.get(item.id) is not None:
                _validate(item, values[item.id])
        check(**values)
    except LeditsInputError as error:
        return f"'{error.name}' {error.problem}"
    return True


def _validate(item: io.Input, value: Any) -> None:
    is_valid, wanted = _requirement(item)
    require(is_valid(value), item.id, f"is {_describe(value)}, but must be {wanted}")
    problem = "has values that are not finite (NaN or infinity): fix the node that produces them"
    require(not isinstance(value, Tensor) or torch.isfinite(value).all(), item.id, problem)


def _requirement(item: io.Input) -> Requirement:
    if isinstance(item, io.Int.Input | io.Float.Input):
        number, kind = (Integral, "a whole number") if isinstance(item, io.Int.Input) else (Real, "a number")
        wanted = f"{kind} from {item.min} to {item.max}"
        return lambda value: isinstance(value, number) and math.isfinite(value) and item.min <= value <= item.max, wanted
    # A list of files has no default; its node says itself what is wrong with a file.
    if isinstance(item, io.Combo.Input) and item.default is not None:
        return lambda value: isinstance(value, str) and value in item.options, f"one of {', '.join(item.options)}"
    return _KINDS[item.get_io_type()]


def _kind(*classes: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, classes)


def _axes(count: int, least: int = 1) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Tensor) and value.ndim == count and value.numel() > 0 and value.shape[-1] >= least


def _is_clip(value: Any) -> bool:
    return hasattr(value, "tokenize") and hasattr(value, "encode_from_tokens_scheduled")


def _is_latent(value: Any) -> bool:
    return isinstance(value, dict) and hasattr(value.get("samples"), "shape")


def _is_conditioning(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], Tensor) and isinstance(pair[1], dict) for pair in value
    )


def _are_concepts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(entry, Concept) for entry in value)


_KINDS: dict[str, Requirement] = {
    "MODEL": (_kind(ModelPatcher), "a model: connect a checkpoint loader"),
    "CLIP": (_is_clip, "a text encoder: connect the checkpoint's CLIP, or a CLIP loader"),
    "VAE": (lambda value: hasattr(value, "decode"), "a VAE: connect the checkpoint's, or a VAE loader"),
    "LATENT": (_is_latent, "a latent: connect VAE Encode, or what made the image"),
    "SIGMAS": (_kind(Tensor), "a list of noise levels: connect LEDITS++ Schedule or another scheduler"),
    "CONDITIONING": (_is_conditioning, "a conditioning: connect CLIP Text Encode"),
    "MASK": (_axes(3), "a mask, [batch, height, width]: connect one of the image"),
    "IMAGE": (_axes(4, 3), "images in colour, [batch, height, width, 3]: connect Load Image or VAE Decode"),
    "STRING": (_kind(str), "a text"),
    "BOOLEAN": (_kind(bool), "on or off"),
    "COMBO": (_kind(str), "an entry of the list"),
    InversionSocket.io_type: (_kind(ImageInversion), "an inverted image: connect LEDITS++ Invert or Load Inversion"),
    ConceptsSocket.io_type: (_are_concepts, "concepts: connect LEDITS++ Concept"),
    StoreSocket.io_type: (_kind(RunHistory), "a store: connect LEDITS++ Attention Store"),
    AttentionSocket.io_type: (_kind(Attention), "attention maps: connect LEDITS++ Edit, Probe Attention or Capture Attention"),
}


def _describe(value: Any) -> str:
    if value is None:
        return "not there (None)"
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"of the kind {type(value).__name__}"
