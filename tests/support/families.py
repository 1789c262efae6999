"""The kinds of checkpoint that the pack is for: ComfyUI's own classes with narrow random networks and text encoders."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.host.networks import SD15_LEVELS, SD20_LEVELS, SDXL_LEVELS, family, patcher, text_encoder

import comfy.sd
import torch
from comfy import supported_models
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.supported_models_base import BASE
from node_helpers import conditioning_set_values
from torch import Tensor

Conditioning = list[list[Any]]

BRANCHES = 0.25
"""What each block adds to its input; see `randomise`."""

SIZE_COLUMNS = 6 * 256
"""How SDXL's vector ends: 256 columns for each of the six numbers of the picture's size."""


@dataclass(frozen=True)
class Kind:
    """One kind of checkpoint.

    Attributes:
        encode: the stock node that its users encode a prompt with.
    """

    model: ModelPatcher
    clip: Any
    encode: Callable[[Any, str], Conditioning]

    @property
    def inpaints(self) -> bool:
        """Whether the network takes a mask and a masked picture as extra channels."""
        return bool(self.model.model.concat_keys)

    def pictures(self, height: int, width: int) -> tuple[dict[str, Tensor], Conditioning]:
        """A LATENT of two pictures of this size, and the empty prompt to invert them with."""
        generator = torch.Generator().manual_seed(height * width)
        from_network = self.model.model.process_latent_out
        latent = {"samples": from_network(torch.randn((2, 4, height, width), generator=generator))}
        negative = self.encode(self.clip, "")
        if self.inpaints:
            # What the node for inpainting models adds to a prompt.
            masked = from_network(torch.randn((1, 4, height, width), generator=generator))
            negative = conditioning_set_values(negative, {"concat_latent_image": masked, "concat_mask": left_half(height, width)[None]})
        return latent, negative

    def difference(self, one: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
        """How far two LATENTs are apart, in the network's units, where a picture's variance is about 1; [B, H, W]."""
        to_network = self.model.model.process_latent_in
        return (to_network(one["samples"]) - to_network(other["samples"])).abs().amax(1)


def left_half(height: int, width: int) -> Tensor:
    """A MASK for a latent of this size."""
    mask = torch.zeros(1, 8 * height, 8 * width)
    mask[..., : 4 * width] = 1
    return mask


def plain(clip: Any, text: str) -> Conditioning:
    from nodes import CLIPTextEncode

    with torch.inference_mode():
        return CLIPTextEncode().encode(clip, text)[0]


def with_size(clip: Any, text: str) -> Conditioning:
    """With a size of its own, other than the one that ComfyUI fills in from the latent."""
    from comfy_extras.nodes_clip_sdxl import CLIPTextEncodeSDXL

    with torch.inference_mode():
        return CLIPTextEncodeSDXL.execute(clip, 640, 896, 8, 16, 320, 448, text, text).result[0]


def _sd15(in_channels: int = 4) -> Kind:
    config = family(SD15_LEVELS | {"in_channels": in_channels}, supported_models.SD15)
    return Kind(patcher(config, branches=BRANCHES), text_encoder(config, {"l": 64}), plain)


def _sd20() -> Kind:
    config = family(SD20_LEVELS, supported_models.SD20, ModelType.V_PREDICTION)
    return Kind(patcher(config, branches=BRANCHES), text_encoder(config, {"h": 64}), plain)


def _sdxl(in_channels: int = 4, prediction: ModelType = ModelType.EPS, zero_snr: bool = False) -> Kind:
    widths = {"l": 24, "g": 40}
    shape = SDXL_LEVELS | {"in_channels": in_channels, "adm_in_channels": widths["g"] + SIZE_COLUMNS}
    config = family(shape, supported_models.SDXL, prediction)
    config.sampling_settings["zsnr"] = zero_snr
    return Kind(patcher(config, branches=BRANCHES), text_encoder(config, widths), with_size)


KINDS: dict[str, Callable[[], Kind]] = {
    "SD 1.5": _sd15,
    "SD 2.x": _sd20,
    "SDXL": _sdxl,
    "SD 1.5 inpainting": functools.partial(_sd15, 9),
    "SDXL inpainting": functools.partial(_sdxl, 9),
    "SDXL v zero SNR": functools.partial(_sdxl, prediction=ModelType.V_PREDICTION, zero_snr=True),
}


def detected(name: str) -> Kind:
    """One of `DETECTED`, which ComfyUI was given as bare weights."""
    unet, base, widths = DETECTED[name]
    weights = patcher(family(unet, base), branches=BRANCHES).model.diffusion_model.state_dict()
    if base is supported_models.SD20:
        # Trained networks that predict v are known by the spread of this bias.
        bias = weights["output_blocks.11.1.transformer_blocks.0.norm1.bias"]
        bias.copy_(torch.linspace(-0.5, 0.5, len(bias)))
    model = comfy.sd.load_diffusion_model_state_dict(weights)
    return Kind(model, text_encoder(model.model.model_config, widths), with_size if "g" in widths else plain)


WIDE: dict[str, Any] = {"model_channels": 320, "channel_mult": [1, 1, 1, 1]}
"""ComfyUI knows a family by its width, its context and its transformers' depths: as wide as it asks for, and small otherwise."""

DETECTED: dict[str, tuple[dict[str, Any], type[BASE], dict[str, int]]] = {
    "SD 1.5": (SD15_LEVELS | WIDE | {"context_dim": 768}, supported_models.SD15, {"l": 768}),
    "SD 1.5 inpainting": (SD15_LEVELS | WIDE | {"context_dim": 768, "in_channels": 9}, supported_models.SD15, {"l": 768}),
    "SD 2.x": (
        SD20_LEVELS
        | WIDE
        | {
            "context_dim": 1024,
            "num_res_blocks": [2, 2, 2, 2],
            "transformer_depth": [1, 0, 1, 0, 1, 0, 0, 0],
            "transformer_depth_output": [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0],
        },
        supported_models.SD20,
        {"h": 1024},
    ),
    "SDXL": (
        SDXL_LEVELS
        | WIDE
        | {
            "channel_mult": [1, 1, 1],
            "context_dim": 2048,
            "adm_in_channels": 1280 + SIZE_COLUMNS,
            "num_res_blocks": [2, 2, 2],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_output": [0, 0, 0, 1, 0, 0, 2, 0, 0],
            "transformer_depth_middle": 1,
        },
        supported_models.SDXL,
        {"l": 768, "g": 1280},
    ),
}


@dataclass(frozen=True)
class NetworkCall:
    """What one call of the network was given: the rows of its batch."""

    x: Tensor
    context: Tensor
    y: Tensor | None


def watched(model: ModelPatcher) -> tuple[ModelPatcher, list[NetworkCall]]:
    """A clone whose network calls are written down."""
    calls: list[NetworkCall] = []

    def around(executor: Any, x: Tensor, timesteps: Tensor, context: Tensor, y: Tensor | None, *rest: Any, **more: Any) -> Any:
        calls.append(NetworkCall(x, context, y))
        return executor(x, timesteps, context, y, *rest, **more)

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watched", around)
    return clone, calls


def cross_attention(model: ModelPatcher, cells: int, run: Callable[[], Any]) -> tuple[Any, dict[str, list[Tensor]]]:
    """Runs, and gives beside the result the cross-attention of all layers with so many cells, seen from inside their modules.

    Returns:
        by part of the UNet ("input", "middle", "output") one [B, heads, cells, tokens] for each layer.
    """
    seen: dict[str, list[Tensor]] = {"input": [], "middle": [], "output": []}
    hooks = []
    for name, module in model.model.diffusion_model.named_modules():
        if not name.endswith("attn2"):
            continue
        part, query, heads = name.split("_")[0], [], module.heads
        hooks.append(module.to_q.register_forward_hook(lambda _, __, out, query=query: query.append(out)))

        def on_key(_: Any, __: Any, key: Tensor, part: str = part, query: list[Tensor] = query, heads: int = heads) -> None:
            q, k = (rows.unflatten(-1, (heads, -1)).transpose(1, 2) for rows in (query.pop(), key))
            if q.shape[-2] == cells:
                seen[part].append((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))

        hooks.append(module.to_k.register_forward_hook(on_key))
    try:
        return run(), seen
    finally:
        for hook in hooks:
            hook.remove()
