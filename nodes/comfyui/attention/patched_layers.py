"""Attention modules that are given no transformer_options (PixArt, Hunyuan-DiT, Ernie-Image), made audible on a clone of the model.

ComfyUI's object patches put another `forward` into each while that clone is loaded: the module's own code, whose attention function first
tells whoever listens in this thread.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from types import FunctionType
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP
from torch import Tensor
from torch.nn import Module

from .. import KEY

_listener: ContextVar[Callable[..., None] | None] = ContextVar("ledits_attention_listener", default=None)


@contextlib.contextmanager
def listening(record: Callable[..., None]) -> Iterator[None]:
    """Hands the arguments of every patched module's attention to `record`."""
    token = _listener.set(record)
    try:
        yield
    finally:
        _listener.reset(token)


class AudibleForward:
    """The `forward` of an attention module."""

    def __init__(self, module: Module):
        forward = type(module).forward
        names = forward.__globals__ | {"optimized_attention": partial(_attention, forward.__globals__)}
        self._module = module
        self._forward = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
        self._forward.__kwdefaults__ = forward.__kwdefaults__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._forward(self._module, *args, **kwargs)


def patch_layers(model: ModelPatcher, layers: str) -> None:
    """Patches all modules of this class on this clone, and on clones of it, which may be of another network on another GPU."""
    model.remove_callbacks_with_key(CallbacksMP.ON_CLONE, KEY)
    model.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, lambda _, clone: _add_patches(clone, layers))
    _add_patches(model, layers)


def _add_patches(model: ModelPatcher, layers: str) -> None:
    network = getattr(model.model.diffusion_model, "_orig_mod", model.model.diffusion_model)
    for name, module in network.named_modules():
        if type(module).__name__ == layers:
            model.add_object_patch(f"diffusion_model.{name}.forward", AudibleForward(module))


def _attention(names: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
    record = _listener.get()
    if record is not None:
        record(*args, **kwargs)
    return names["optimized_attention"](*args, **kwargs)
