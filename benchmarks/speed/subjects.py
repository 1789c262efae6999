"""What is measured on: one network in ComfyUI and in diffusers with the same weights, and the same picture for both.

The small checkpoint as it is, and networks of the true size with random weights: how long a network takes does not depend on their values.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scripts.host import in_comfy
from scripts.host.networks import BRANCH_ENDS, SD15_SHAPE, family, text_encoder

import comfy.model_management
import comfy.sd1_clip
import comfy.supported_models
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.supported_models_base import BASE
from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusionXL
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.reference.pipeline import BETAS, AsShipped, clip_tokenizer, reference_pipeline
from benchmarks.reference.unet import diffusers_unet, to_diffusers

comfy.utils.PROGRESS_BAR_ENABLED = False

DEVICE = os.environ.get("LEDITS_DEVICE", "cpu")
SEED = 3

SD15: dict[str, Any] = SD15_SHAPE | {
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "context_dim": 768,
    "num_heads": 8,
}
"""SD 1.5's UNet, 859.5 million weights."""

SDXL: dict[str, Any] = SD15 | {
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "transformer_depth_middle": 10,
    "context_dim": 2048,
    "use_linear_in_transformer": True,
    "num_heads": -1,
    "num_head_channels": 64,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
"""SDXL's UNet, 2,567 million weights."""


@dataclass(frozen=True)
class Subject:
    """One network and one picture.

    Attributes:
        latent: a LATENT.
        pipeline: diffusers' LEDITS++ pipeline on the same weights, made at the first call.
    """

    model: ModelPatcher
    clip: Any
    latent: dict[str, Tensor]
    pipeline: Callable[[], Any]

    @functools.cached_property
    def latents(self) -> Tensor:
        """The picture at the network's scale, where it computes."""
        return self.model.model.process_latent_in(self.latent["samples"]).to(DEVICE)

    def encode(self, text: str) -> Any:
        with torch.inference_mode():
            return in_comfy.encode(self.clip, text)


class NoPictures:
    """Stands in for a VAE: neither side's time holds any of it."""

    @staticmethod
    def decode(latents: Tensor, return_dict: bool = True, generator: Any = None) -> Any:
        height, width = 8 * latents.shape[-2], 8 * latents.shape[-1]
        # ComfyUI asks for pictures, diffusers for a tuple of what it makes pictures of.
        return torch.zeros(len(latents), height, width, 3) if return_dict else (torch.zeros(len(latents), 3, 64, 64),)


class OnLatentsXL(LEditsPPPipelineStableDiffusionXL):
    """The SDXL pipeline, whose pictures come and go as latents."""

    encode_image = AsShipped.encode_image
    invert_latents = AsShipped.invert_latents
    edit_latents = AsShipped.edit_latents


def small(size: int) -> Subject:
    from benchmarks.quality.references import text_encoder, unet

    model, clip, _ = in_comfy.load_checkpoint()
    return Subject(
        model, clip, _noise(size), lambda: _ready(reference_pipeline(AsShipped, unet(), text_encoder(), clip_tokenizer(), "v_prediction"))
    )


def sd15(size: int, dtype: torch.dtype = torch.float32) -> Subject:
    model, config = _network(SD15, comfy.supported_models.SD15, dtype)

    def pipeline() -> Any:
        encoder = CLIPTextModel(_text_config(768)).eval().to(dtype)
        return _ready(reference_pipeline(AsShipped, _twin(model, SD15), encoder, clip_tokenizer()))

    return Subject(model, text_encoder(config, {"l": 768}), _noise(size), pipeline)


def sdxl(size: int, dtype: torch.dtype = torch.float32) -> Subject:
    model, config = _network(SDXL, comfy.supported_models.SDXL, dtype)

    def pipeline() -> Any:
        encoders = CLIPTextModel(_text_config(768)), CLIPTextModelWithProjection(_text_config(1280))
        stand_in = reference_pipeline(AsShipped, _twin(model, SDXL), encoders[0], clip_tokenizer()).vae
        scheduler = DPMSolverMultistepScheduler(**BETAS, algorithm_type="sde-dpmsolver++", solver_order=2, steps_offset=1)
        parts = (stand_in, *(encoder.eval() for encoder in encoders), clip_tokenizer(), clip_tokenizer(), _twin(model, SDXL), scheduler)
        made = OnLatentsXL(*parts)
        made.set_progress_bar_config(disable=True)
        return _ready(made.to(dtype))

    return Subject(model, text_encoder(config, {"l": 768, "g": 1280}), _noise(size), pipeline)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    **{f"small {size}": functools.partial(small, size) for size in (256, 512, 1024, 2048)},
    "SD 1.5 256": functools.partial(sd15, 256),
    "SD 1.5 512": functools.partial(sd15, 512),
    "SD 1.5 512 fp16": functools.partial(sd15, 512, torch.float16),
    "SD 1.5 512 bf16": functools.partial(sd15, 512, torch.bfloat16),
    "SDXL 1024": functools.partial(sdxl, 1024),
    "SDXL 1024 fp16": functools.partial(sdxl, 1024, torch.float16),
    "SDXL 1024 bf16": functools.partial(sdxl, 1024, torch.bfloat16),
}


def _network(shape: dict[str, Any], base: type[BASE], dtype: torch.dtype) -> tuple[ModelPatcher, BASE]:
    config = family(shape, base)
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    fill(model.diffusion_model)
    model.diffusion_model.eval()
    device = comfy.model_management.get_torch_device()
    return ModelPatcher(model, load_device=device, offload_device=torch.device("cpu")), config


def fill(network: torch.nn.Module) -> None:
    """Random weights, of which a million are drawn and repeated: as `networks.randomise`, in a tenth of the time."""
    drawn = torch.randn(1 << 20, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(float(name.endswith("weight")))
                continue
            size = parameter[0].numel() ** -0.5 * (0.25 if name.endswith(BRANCH_ENDS) else 1)
            scaled = drawn * size
            for part in parameter.view(-1).split(len(drawn)):
                part.copy_(scaled[: len(part)])


def _twin(model: ModelPatcher, shape: dict[str, Any]) -> Any:
    """diffusers' network on the very same memory."""
    with torch.device("meta"):
        network = diffusers_unet(shape)
    network.load_state_dict(to_diffusers(model.model.diffusion_model.state_dict(), shape), assign=True)
    return network


def _ready(pipeline: Any) -> Any:
    pipeline.vae.decode = NoPictures.decode
    return pipeline.to(DEVICE)


def _noise(size: int) -> dict[str, Tensor]:
    return {"samples": torch.randn((1, 4, size // 8, size // 8), generator=torch.Generator().manual_seed(SEED))}


def _text_config(width: int) -> CLIPTextConfig:
    ends = {"bos_token_id": 49406, "eos_token_id": 49407}
    return CLIPTextConfig(num_hidden_layers=3, hidden_size=width, projection_dim=width, num_attention_heads=4, intermediate_size=64, **ends)
