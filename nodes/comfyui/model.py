"""What the method must know of a MODEL: its kind of noise, its attention blocks, and whether two are the same network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import comfy.model_sampling
from comfy.model_patcher import ModelPatcher


def is_flow(model: ModelPatcher) -> bool | None:
    """Whether x = (1 - sigma) x0 + sigma noise (flow) or x = x0 + sigma noise (eps, v); None for any other kind."""
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, comfy.model_sampling.CONST):
        return True
    return False if isinstance(sampling, comfy.model_sampling.EPS) else None


@dataclass(frozen=True)
class CrossAttentionBlock:
    """Address of one cross-attention layer: part ("input", "middle", "output"), block and transformer number; and the layer."""

    part: str
    number: int
    index: int
    layer: Any


def cross_attention_blocks(network: Any) -> Iterator[CrossAttentionBlock]:
    """The cross-attention layers of a UNet, as ComfyUI numbers them; none for other networks."""
    parts = {
        "input": getattr(network, "input_blocks", ()),
        "middle": [getattr(network, "middle_block", None) or ()],
        "output": getattr(network, "output_blocks", ()),
    }
    for part, blocks in parts.items():
        for number, block in enumerate(blocks):
            for layer in block:
                for index, transformer in enumerate(getattr(layer, "transformer_blocks", ())):
                    if getattr(transformer, "attn2", None) is not None:
                        yield CrossAttentionBlock(part, number, index, transformer.attn2)


def has_cross_attention(model: ModelPatcher) -> bool:
    return next(cross_attention_blocks(model.get_model_object("diffusion_model")), None) is not None


def prompt_width(model: ModelPatcher) -> int | None:
    """Columns of the encodings that a UNet's cross-attention reads; None for other networks."""
    width = model.model.model_config.unet_config.get("context_dim")
    return width if isinstance(width, int) and has_cross_attention(model) else None


def pixels_per_cell(model: ModelPatcher) -> int:
    """Picture pixels along one side of a latent cell."""
    return getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)


@dataclass(frozen=True)
class NetworkIdentity:
    """Tells whether two MODELs predict the same: same weights, patches and options.

    Capturing attention changes no prediction, so this pack's own wrappers do not count.
    """

    weights: Any
    patches: Any
    options: tuple

    @classmethod
    def of(cls, model: ModelPatcher, own_key: str) -> NetworkIdentity:
        plain = int | float | str | bool | None
        found = ((path, value if isinstance(value, plain) else id(value)) for path, value in options(model, own_key))
        return cls(id(model.model), model.patches_uuid, tuple(found))


def options(model: ModelPatcher, own_key: str) -> Iterator[tuple[tuple, Any]]:
    """Everything set on a MODEL beside its weights and their patches: each value with the keys that lead to it."""
    found = dict(model.model_options, wrappers=model.wrappers, object_patches=model.object_patches, hook_patches=model.hook_patches)
    return _leaves(found, own_key)


def _leaves(value: Any, own_key: str, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != own_key:
                yield from _leaves(inner, own_key, (*path, key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, own_key, (*path, place))
    else:
        yield path, value
