"""diffusers' pipeline on the same weights, as shipped and repaired."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import in_comfy

# isort: split
import comfy.sd1_clip
import torch
from oracle.reference import AsShipped, Repaired, reference_pipeline
from oracle.twin import diffusers_unet, to_diffusers
from safetensors.torch import load_file
from small_model.comfyui_node import TEXT_MODEL, UNET
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .checkpoint import latent_of, loaded
from .edits import Edit
from .methods import Result
from .settings import SEED, Setting, wishes

UNET_PREFIX, TEXT_PREFIX = "model.diffusion_model.", "cond_stage_model.transformer.text_model."


class Reference:
    """One kind of the reference pipeline as a method."""

    def __init__(self, kind: type[AsShipped], official_levels: bool):
        self._kind, self._official_levels = kind, official_levels

    @classmethod
    def as_shipped(cls) -> Reference:
        return cls(AsShipped, official_levels=False)

    @classmethod
    def repaired(cls) -> Reference:
        return cls(Repaired, official_levels=True)

    def __call__(self, edit: Edit, setting: Setting, modes: Sequence[str] = (), replay: bool = False) -> Result:
        pipeline = self._pipeline(setting.steps, setting.skip)
        original = latent_of(edit)["samples"]
        with torch.inference_mode():
            pipeline.invert_latents(original, setting.steps, setting.skip, SEED)
            # Before any edit: those leave their attention processors installed.
            error = (_replayed(pipeline) - original).abs().max().item() if replay else None
            made = {mode: self._edited(pipeline, edit, setting, mode) for mode in dict.fromkeys((setting.mask_mode, *modes))}
        rows, columns = original.shape[-2:]
        masks = {mode: masks for mode, (_, masks) in made.items()}
        return Result(made[setting.mask_mode][0], masks, (rows // 4, columns // 4), error)

    def _edited(self, pipeline: Any, edit: Edit, setting: Setting, mode: str) -> tuple[Tensor, Tensor]:
        asked = wishes(edit, setting)
        samples = pipeline.edit_latents(
            [wish.text for wish in asked],
            [not wish.add for wish in asked],
            [wish.scale for wish in asked],
            [wish.threshold for wish in asked],
            [setting.warmup] * len(asked),
            [setting.cooldown] * len(asked) if setting.cooldown else None,
            mask_mode=mode,
        )
        active = setting.active_steps
        return samples, pipeline.activation_mask[active.start : active.stop, :, 0, 0] > 0.5

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are two of them, which live as long as the process)
    def _pipeline(self, steps: int, skip: float) -> Any:
        levels = None
        if self._official_levels:
            model = loaded()[0]
            sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
            levels = [int(t) for t in model.get_model_object("model_sampling").timestep(sigmas[:-1])]
        return reference_pipeline(self._kind, unet(), text_encoder(), tokenizer(), "v_prediction", levels)


def _replayed(pipeline: Any) -> Tensor:
    return pipeline.edit_latents([], [], [], [], [], mask_mode="noise")


@functools.cache
def unet() -> Any:
    """The checkpoint's UNet under diffusers' names."""
    network = diffusers_unet(UNET)
    network.load_state_dict(to_diffusers(_weights(UNET_PREFIX), UNET))
    return network


@functools.cache
def text_encoder() -> CLIPTextModel:
    """The checkpoint's text model in transformers."""
    model = CLIPTextModel(CLIPTextConfig(**TEXT_MODEL))
    names = {name.removeprefix("text_model."): name for name in model.state_dict()}
    model.load_state_dict({names[name]: value for name, value in _weights(TEXT_PREFIX).items()})
    return model.eval()


@functools.cache
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(str(Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")), model_max_length=77)


def _weights(prefix: str) -> dict[str, Tensor]:
    stored = load_file(in_comfy.CHECKPOINT)
    return {name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)}
