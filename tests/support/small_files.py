"""Files of small random transformers, text encoders and VAEs, named and laid out as the shipped workflows ask ComfyUI's loaders for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.host.networks import randomise

import comfy.ldm.wan.vae
import comfy.taesd.taesd
import comfy.text_encoders.qwen_vl
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from support.inverted import calm
from support.text_encoders import CLIP, CLIPS, FAMILIES, T5, NoVision, llm, text_encoder
from support.transformers import TRANSFORMERS

Weights = dict[str, Tensor]

CLIP_WIDTH, T5_WIDTH = CLIP["hidden_size"], 4096
QWEN = llm(4) | {"num_attention_heads": 4, "num_key_value_heads": 4}  # ComfyUI knows Qwen2.5 by its heads
ENCODERS = CLIPS | {
    "t5xxl_model_config": T5 | {"d_model": T5_WIDTH, "vocab_size": 11200},  # as wide as SD 3 makes the encodings of CLIP
    "qwen25_7b_model_config": QWEN,
    "qwen3_4b_model_config": QWEN,
    "model_config": CLIP,  # of a CLIP in a file of its own
}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": (
        "Flux.1 dev",
        {"hidden_size": 128, "num_heads": 1, "axes_dim": [16, 56, 56], "vec_in_dim": CLIP_WIDTH, "context_in_dim": T5_WIDTH},
    ),
    "sd35": (
        "SD3",
        {
            "depth": 3,
            "adm_in_channels": 2 * CLIP_WIDTH,
            "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": T5_WIDTH, "out_features": 64 * 3}},
        },
    ),
    "qwen_image": ("Qwen-Image", {"joint_attention_dim": QWEN["hidden_size"]}),
    "z_image_turbo": ("Z-Image", {"cap_feat_dim": QWEN["hidden_size"]}),
}
"""The family of each workflow's network, and in what it fits the text encoders."""
MARK_OF_T5 = {"encoder.block.23.layer.1.DenseReluDense.wi_1.weight": torch.zeros(10240, 1)}
"""What ComfyUI knows T5-XXL by: its depth and the width of a layer that the small one does not have."""


def network(workflow: str) -> Weights:
    name, fitting = NETWORKS[workflow]
    family = TRANSFORMERS[name]
    model = calm(replace(family, config=family.config | fitting).model())
    return model.model.diffusion_model.state_dict()


def encoders(family: str, *parts: str) -> list[Weights]:
    """The weights of one of ComfyUI's text encoders, part by part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.text_encoders.qwen_vl, "Qwen2VLVisionTransformer", NoVision)
        model = text_encoder(replace(FAMILIES[family], sizes=ENCODERS)).cond_stage_model
    randomise(model, 1)
    return [getattr(model, part).transformer.state_dict() for part in parts]


def vae(module: torch.nn.Module) -> Weights:
    randomise(module, 2)
    return module.state_dict() | ({"vae_scale": torch.tensor(1.0)} if hasattr(module, "vae_scale") else {})


def write(models: Path) -> None:
    """All files that the workflows name, below ComfyUI's models folder, and `sizes.json` for `small_loaders`."""

    def save(file: str, weights: Weights) -> None:
        path = models / file
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.contiguous().clone() for name, weight in weights.items()}, path)

    clip_l, t5 = encoders("Flux", "clip_l", "t5xxl")
    save("diffusion_models/flux1-dev.safetensors", network("flux"))
    save("text_encoders/clip_l.safetensors", clip_l)
    save("text_encoders/t5xxl_fp16.safetensors", t5 | MARK_OF_T5)
    small_vae = vae(comfy.taesd.taesd.TAESD(latent_channels=16))
    save("vae/ae.safetensors", small_vae)

    save("diffusion_models/qwen_image_fp8_e4m3fn.safetensors", network("qwen_image"))
    save("text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors", *encoders("Qwen-Image", "qwen25_7b"))
    save("vae/qwen_image_vae.safetensors", vae(comfy.ldm.wan.vae.WanVAE(**SMALL_WAN)))

    save("diffusion_models/z_image_turbo_bf16.safetensors", network("z_image_turbo"))
    save("text_encoders/qwen_3_4b.safetensors", *encoders("Z-Image", "qwen3_4b"))

    parts = {"model.diffusion_model.": network("sd35"), "first_stage_model.": small_vae}
    names = ("clip_l", "clip_g", "t5xxl")
    parts |= {f"text_encoders.{name}.transformer.": part for name, part in zip(names, encoders("SD3", *names), strict=True)}
    save(
        "checkpoints/sd3.5_large_fp8_scaled.safetensors",
        {prefix + name: weight for prefix, part in parts.items() for name, weight in part.items()},
    )

    config = {kind: TRANSFORMERS[name].config | fitting for kind, (name, fitting) in NETWORKS.items()}
    sizes = {
        "encoders": ENCODERS,
        "width_of_qwen3_4b": QWEN["hidden_size"],
        "networks": {
            "QwenImage": ({"image_model": "qwen_image"}, config["qwen_image"]),
            "ZImage": ({"image_model": "lumina2", "dim": config["z_image_turbo"]["dim"]}, config["z_image_turbo"]),
        },
    }
    (models / "sizes.json").write_text(json.dumps(sizes))


SMALL_WAN: dict[str, Any] = {
    "dim": 8, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [], "temperal_downsample": [False, True, True],
    "image_channels": 3, "conv_out_channels": 3, "dropout": 0.0,
}  # fmt: skip
