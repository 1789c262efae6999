"""Test-side custom node: ComfyUI's own loaders take transformers in small, in the sizes that models/sizes.json says.

ComfyUI reads a network's depth and most widths from its file, but heads of Qwen-Image and all of Z-Image are fixed for the one width that was
published, and text encoders always have their full size. POST /ledits_test/validate tells what ComfyUI's own validation says of a prompt.
"""

import functools
import json
from pathlib import Path

import comfy.sd
import comfy.supported_models
import comfy.text_encoders.qwen_vl
import execution
import folder_paths
import torch
from aiohttp import web
from server import PromptServer

SIZES = json.loads((Path(folder_paths.models_dir) / "sizes.json").read_text())
WIDTH_OF_QWEN3 = "model.layers.0.post_attention_layernorm.weight"


def with_sizes(load, options):
    @functools.wraps(load)
    def loaded(*args, **kwargs):
        return load(*args, **kwargs | {options: kwargs.get(options, {}) | SIZES["encoders"]})

    return loaded


def detect(sd, detect=comfy.sd.detect_te_model):
    """Qwen3 is told from its sisters by its width alone, for which its vocabulary would need 800 MB."""
    is_small = WIDTH_OF_QWEN3 in sd and len(sd[WIDTH_OF_QWEN3]) == SIZES["width_of_qwen3_4b"]
    return comfy.sd.TEModel.QWEN3_4B if is_small and "model.layers.0.self_attn.q_norm.weight" in sd else detect(sd)


class NoVision(torch.nn.Module):
    """In place of what Qwen2.5 reads images with, which is large, and not asked here."""

    def __init__(self, *args, **kwargs):
        super().__init__()


for name, (known_by, config) in SIZES["networks"].items():
    base = getattr(comfy.supported_models, name)
    comfy.supported_models.models.insert(0, type(name, (base,), {"unet_config": known_by, "unet_extra_config": config}))
comfy.sd.load_clip = with_sizes(comfy.sd.load_clip, "model_options")
comfy.sd.load_checkpoint_guess_config = with_sizes(comfy.sd.load_checkpoint_guess_config, "te_model_options")
comfy.sd.detect_te_model = detect
comfy.text_encoders.qwen_vl.Qwen2VLVisionTransformer = NoVision

NODE_CLASS_MAPPINGS: dict = {}


@PromptServer.instance.routes.post("/ledits_test/validate")
async def validate(request):
    is_valid, error, _, errors = await execution.validate_prompt("ledits_test", await request.json(), None)
    return web.json_response({"is_valid": is_valid, "error": error, "errors": errors})
