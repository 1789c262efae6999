"""The real ComfyUI inside this process: its classes, this pack as it loads packs, and the small checkpoint."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import comfy.cli_args

# Only the speed benchmark sets these two.
comfy.cli_args.args.cpu = os.environ.get("LEDITS_DEVICE", "cpu") == "cpu"
comfy.cli_args.args.use_pytorch_cross_attention = os.environ.get("LEDITS_PYTORCH_ATTENTION") == "1"

import comfy.sd  # noqa: E402 (only after ComfyUI is set to the CPU)
import folder_paths  # noqa: E402 (on the same path)
import numpy as np  # noqa: E402 (with the others)
import torch  # noqa: E402 (after ComfyUI, which sets its environment)
from PIL import Image  # noqa: E402 (with the others)

from scripts.paths import CHECKOUT, CHECKPOINT  # noqa: E402 (with the others)
from scripts.small_model import comfyui_node  # noqa: E402, F401 (teaches ComfyUI the small checkpoint)

_previews = tempfile.TemporaryDirectory(prefix="ledits-previews-")
folder_paths.set_temp_directory(_previews.name)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@functools.cache
def pack() -> ModuleType:
    """This checkout, loaded the way ComfyUI loads a folder of custom_nodes."""
    spec = importlib.util.spec_from_file_location("ledits_pack", CHECKOUT / "__init__.py", submodule_search_locations=[str(CHECKOUT)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ledits_pack"] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def nodes() -> dict[str, Any]:
    """The pack's node classes by id."""
    extension = asyncio.run(pack().comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


def run(node_id: str, **inputs: Any) -> tuple[Any, ...]:
    """A node's results, with its schema's defaults for whatever is not given."""
    return execute(node_id, **inputs).result


def execute(node_id: str, **inputs: Any) -> Any:
    """A node's whole output, with its schema's defaults for whatever is not given."""
    node = nodes()[node_id]
    schema = node.GET_SCHEMA()
    defaults = {item.id: item.default for item in schema.inputs if getattr(item, "default", None) is not None}
    with torch.inference_mode():
        return node.execute(**(defaults | inputs))


def pictures_on(output: Any) -> list[torch.Tensor]:
    """What a node shows of its output, each [H, W, 3] in 0..1."""
    folder = Path(folder_paths.get_temp_directory())
    files = [folder / image["subfolder"] / image["filename"] for image in (output.ui or {}).get("images", ())]
    return [torch.from_numpy(np.array(Image.open(file).convert("RGB"), np.float32)) / 255 for file in files]


def load_checkpoint(path: Path = CHECKPOINT, dtype: torch.dtype | None = None) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE, as CheckpointLoaderSimple gives them; `dtype` is that of the UNet's weights."""
    options = {} if dtype is None else {"dtype": dtype}
    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=True, output_clip=True, model_options=options)[:3]


def load_network(path: Path) -> Any:
    """A MODEL alone, as UNETLoader gives it."""
    return comfy.sd.load_diffusion_model(str(path))


def encode(clip: Any, text: str) -> Any:
    """A prompt's CONDITIONING, as CLIPTextEncode makes it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def to_image(pixels: np.ndarray) -> torch.Tensor:
    """A picture [H, W, 3] of bytes as an IMAGE."""
    return torch.from_numpy(pixels).float()[None] / 255
