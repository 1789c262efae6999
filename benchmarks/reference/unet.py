"""One network in both worlds: diffusers' UNet of a ComfyUI UNet configuration, and the names that translate their weights."""

from __future__ import annotations

import re
from typing import Any

from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before anything of it is imported)

import comfy.utils
from diffusers import UNet2DConditionModel
from torch import Tensor


def diffusers_unet(unet: dict[str, Any]) -> UNet2DConditionModel:
    """diffusers' network of this configuration; every block of a level is equally many transformers deep."""
    levels = len(unet["channel_mult"])
    blocks = list(unet["num_res_blocks"])
    depths = iter(unet["transformer_depth"])
    depth = [max(next(depths) for _ in range(count)) for count in blocks]
    attends = [count > 0 for count in depth]
    widths = [unet["model_channels"] * factor for factor in unet["channel_mult"]]
    heads: Any = unet["num_heads"] if unet["num_heads"] > 0 else tuple(width // unet["num_head_channels"] for width in widths)
    vector = unet["adm_in_channels"]
    with_vector: dict[str, Any] = {}
    if vector is not None:
        with_vector = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": vector}
    return UNet2DConditionModel(
        sample_size=unet["image_size"],
        in_channels=unet["in_channels"],
        out_channels=unet["out_channels"],
        layers_per_block=tuple(blocks),
        block_out_channels=tuple(widths),
        down_block_types=tuple("CrossAttnDownBlock2D" if attends[i] else "DownBlock2D" for i in range(levels)),
        up_block_types=tuple("CrossAttnUpBlock2D" if attends[i] else "UpBlock2D" for i in reversed(range(levels))),
        cross_attention_dim=unet["context_dim"],
        attention_head_dim=heads,  # diffusers' name for what is the number of heads
        transformer_layers_per_block=tuple(max(1, count) for count in depth),
        use_linear_projection=unet["use_linear_in_transformer"],
        norm_num_groups=32,
        **with_vector,
    ).eval()


def to_comfyui(weights: dict[str, Tensor], unet: dict[str, Any]) -> dict[str, Tensor]:
    """diffusers' weights under ComfyUI's names."""
    names = weight_names(unet)
    return {names[key]: value for key, value in weights.items()}


def to_diffusers(weights: dict[str, Tensor], unet: dict[str, Any]) -> dict[str, Tensor]:
    """ComfyUI's weights under diffusers' names."""
    names = {comfyui: diffusers for diffusers, comfyui in weight_names(unet).items()}
    return {names[key]: value for key, value in weights.items()}


def weight_names(unet: dict[str, Any]) -> dict[str, str]:
    """ComfyUI's own map from diffusers' names to its own, whose block numbers hold for levels of equal length alone, put right."""
    blocks = unet["num_res_blocks"]
    most, levels = max(blocks), len(blocks)
    depth_in, depth_out = iter(unet["transformer_depth"]), list(unet["transformer_depth_output"])
    even = dict(unet, num_res_blocks=[most] * levels)
    even["transformer_depth"] = [depth for count in blocks for depth in _padded([next(depth_in) for _ in range(count)], most)]
    even["transformer_depth_output"] = []
    for count in blocks:
        level, depth_out = depth_out[: count + 1], depth_out[count + 1 :]
        even["transformer_depth_output"] += _padded(level, most + 1)
    names = {}
    for diffusers, comfyui in comfy.utils.unet_to_diffusers(even).items():
        if diffusers.startswith("class_embedding"):
            continue  # another name, in other networks, for what SDXL's calls add_embedding
        place = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)", diffusers)
        if place is None:
            names[diffusers] = comfyui
            continue
        part, level, kind, inside = place[1], int(place[2]), place[3], int(place[4])
        counts = list(blocks) if part == "down" else [count + 1 for count in reversed(blocks)]
        last = counts[level] - 1
        if kind in ("resnets", "attentions") and inside > last:
            continue
        before = sum(counts[:level]) + (1 + level if part == "down" else 0)
        number = before + (counts[level] if kind == "downsamplers" else last if kind == "upsamplers" else inside)
        names[diffusers] = re.sub(r"blocks\.\d+", f"blocks.{number}", comfyui, count=1)
    return names


def _padded(depths: list[int], length: int) -> list[int]:
    return depths + [depths[-1]] * (length - len(depths))
