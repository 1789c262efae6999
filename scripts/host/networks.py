"""Small random UNets and text encoders inside ComfyUI's own classes: what no checkpoint of a few megabytes could be."""

from __future__ import annotations

from typing import Any

from scripts.host import in_comfy  # noqa: F401 (ComfyUI must be set to the CPU before anything of it is imported)

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models_base
import torch
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher
from torch import Tensor

CPU = torch.device("cpu")

SD15_SHAPE: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 3],
    "transformer_depth": [0, 1, 1],
    "transformer_depth_output": [0, 0, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
    "use_checkpoint": False,
    "num_heads": 4,
    "num_head_channels": -1,
}
"""SD 1.5's kind in small: cross-attention at a half and a quarter of the latent, in the middle block, and on the way up."""

SD15_LEVELS: dict[str, Any] = SD15_SHAPE | {
    "num_res_blocks": [1, 1, 1, 1],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 0, 0],
    "num_heads": 2,
}
"""All four levels of SD 1.5: cross-attention from the full latent to a quarter, the middle block at an eighth."""

SD20_LEVELS: dict[str, Any] = SD15_LEVELS | {
    "use_linear_in_transformer": True,
    "num_heads": -1,
    "num_head_channels": 32,
    "attn_precision": torch.float32,
}
"""SD 2.x: heads of equal width, so that deeper levels have more of them, linear projections, attention in float32."""

SDXL_LEVELS: dict[str, Any] = SD15_SHAPE | {
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 2, 5],
    "transformer_depth_output": [0, 0, 2, 2, 5, 5],
    "transformer_depth_middle": 5,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "num_heads": -1,
    "num_head_channels": 32,
}
"""SDXL: no attention at the full latent, many transformers deep at a quarter, and the middle block at a quarter too."""


def family(
    unet: dict[str, Any], base: type[comfy.supported_models_base.BASE], kind: ModelType = ModelType.EPS
) -> comfy.supported_models_base.BASE:
    """A model configuration of ComfyUI with another UNet: `base` decides the latent format and the model class."""

    class Family(base):  # type: ignore[valid-type, misc]
        unet_extra_config: dict[str, Any] = {}
        supported_inference_dtypes = [torch.float32]

        def model_type(self, state_dict: dict, prefix: str = "") -> ModelType:
            return kind

    config = Family(unet)
    config.set_inference_dtype(torch.float32, None)
    return config


def patcher(
    config: comfy.supported_models_base.BASE, weights: dict[str, Tensor] | None = None, seed: int = 0, branches: float = 1.0
) -> ModelPatcher:
    """A MODEL of this configuration with the given weights, else with random ones; see `randomise`."""
    model = config.get_model({}, "", device=CPU)
    network = model.diffusion_model
    if weights is None:
        randomise(network, seed, branches=branches)
    else:
        network.load_state_dict(weights)
    network.eval()
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def text_encoder(config: comfy.supported_models_base.BASE, widths: dict[str, int], seed: int = 0) -> comfy.sd.CLIP:
    """The CLIP that goes with this configuration, with its own tokenizers, three random layers deep.

    Args:
        widths: by encoder ("l", "g", "h") the width of its output.
    """
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    options: dict[str, Any] = {f"clip_{name}_model_config": sizes | {"hidden_size": width} for name, width in widths.items()}
    if "h" in widths:
        options["model_name"] = "clip_h"  # the one encoder that does not say its own name
    clip = comfy.sd.CLIP(config.clip_target(), model_options=options)
    randomise(clip.cond_stage_model, seed)
    return clip


def control_net(model: ModelPatcher, seed: int = 0) -> comfy.controlnet.ControlNet:
    """A random ControlNet for this MODEL, as the stock loader gives one."""
    shape = {
        key: value for key, value in model.model.model_config.unet_config.items() if key not in ("out_channels", "transformer_depth_output")
    }
    network = comfy.cldm.cldm.ControlNet(**shape, hint_channels=3, operations=comfy.ops.disable_weight_init)
    randomise(network, seed, sharpen=1.0)
    return comfy.controlnet.ControlNet(network, load_device=CPU)


BRANCH_ENDS = ("out_layers.3.weight", "proj_out.weight", "to_out.0.weight", "ff.net.2.weight")
"""The last layers of what a block adds to its input."""


def randomise(network: torch.nn.Module, seed: int, sharpen: float = 6.0, branches: float = 1.0) -> None:
    """Fresh weights, and queries and keys of cross-attention so large that its maps differ by far more than rounding.

    Args:
        branches: how much each block adds to its input. At 1 a deep random network is chaotic: a difference in the last digit,
            which every other composition of the batch makes, grows from step to step as it does in no trained one.
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 0
        with torch.no_grad():
            if parameter.dim() < 2:
                parameter.copy_(torch.ones_like(parameter) if name.endswith("weight") else torch.zeros_like(parameter))
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, device=device) * fan_in**-0.5)
            if "attn2.to_q" in name or "attn2.to_k" in name:
                parameter.mul_(sharpen**0.5)
            if name.endswith(BRANCH_ENDS):
                parameter.mul_(branches)
