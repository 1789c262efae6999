"""diffusers' LEDITS++ pipeline on latents: as shipped, and with each of its faults repaired in the open."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusion, UNet2DConditionModel
from diffusers.pipelines.ledits_pp.pipeline_leditspp_stable_diffusion import LeditsAttentionStore
from torch import Tensor
from transformers import CLIPTokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class AsShipped(LEditsPPPipelineStableDiffusion):
    """The pipeline as it is, but for the pictures, which come and go as latents."""

    def encode_image(self, image: Tensor, **_: Any) -> tuple[Tensor, None]:
        return image.to(self.unet.dtype), None

    def invert_latents(self, latents: Tensor, steps: int, skip: float, seed: int, **settings: Any) -> None:
        """Inverts [B, 4, h, w] latents at the model's scale."""
        self.invert(latents, num_inversion_steps=steps, skip=skip, generator=torch.Generator().manual_seed(seed), **settings)

    def edit_latents(
        self,
        prompts: Sequence[str],
        reverse: Sequence[bool],
        scales: Sequence[float],
        thresholds: Sequence[float],
        warmups: Sequence[int],
        cooldowns: Sequence[int] | None = None,
        mask_mode: Literal["attention", "noise", "intersect"] = "intersect",
        user_mask: Tensor | None = None,
        each_step: list[Tensor] | None = None,
        **settings: Any,
    ) -> Tensor:
        """The edited latents; `each_step` collects the state after every step."""

        def collect(pipeline: Any, i: int, t: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if each_step is not None:
                each_step.append(tensors["latents"].as_subclass(Tensor).clone())
            return tensors

        return self(
            editing_prompt=list(prompts) or None,
            reverse_editing_direction=list(reverse),
            edit_guidance_scale=list(scales),
            edit_threshold=list(thresholds),
            edit_warmup_steps=list(warmups),
            edit_cooldown_steps=None if cooldowns is None else list(cooldowns),
            use_cross_attn_mask=mask_mode == "attention",
            use_intersect_mask=mask_mode == "intersect",
            user_mask=user_mask,
            output_type="latent",
            callback_on_step_end=collect,
            **settings,
        ).images


class Repaired(AsShipped):
    """The pipeline without its known faults.

    - Words are counted without padding. (Shipped: every prompt has 75, since tokenizers return the padded length.)
    - Inversion takes the empty and the source prompt for what they are. (Shipped: the two are swapped.)
    - The intersection of both masks holds at every step. (Shipped: above t = 800 the attention mask stands alone.)
    - Maps of a batch stay with their picture. (Shipped: heads of different pictures are mixed.)
    - The last level is table index 0, as in the official code. (Shipped: 0, where the last correction has no place.)
    """

    _inverting = False

    def invert(self, *arguments: Any, **settings: Any) -> Any:
        self._inverting = True
        try:
            result = super().invert(*arguments, **settings)
        finally:
            self._inverting = False
        self.inversion_steps = [torch.tensor(int(t)).as_subclass(NeverAbove) for t in self.inversion_steps]
        return result

    def encode_prompt(self, *arguments: Any, editing_prompt: Any = None, **settings: Any) -> Any:
        concepts, empty, counts = super().encode_prompt(*arguments, editing_prompt=editing_prompt, **settings)
        if counts is not None:
            texts = [editing_prompt] if isinstance(editing_prompt, str) else editing_prompt
            counts = [len(self.tokenizer(text, truncation=True).input_ids) - 2 for text in texts]
        return (empty, concepts, counts) if self._inverting else (concepts, empty, counts)

    def prepare_unet(self, attention_store: LeditsAttentionStore, PnP: bool = False) -> None:
        attention_store.__class__ = StoreByPicture
        super().prepare_unet(attention_store, PnP)


class SourceNamed(Repaired):
    """The repaired pipeline, in which a text can change the place that another one names."""

    source_of: dict[int, int]
    """By the number of a text that of the text whose maps it gets."""

    def edit_latents(self, prompts: Sequence[str], *arguments: Any, **settings: Any) -> Tensor:
        words = [len(self.tokenizer(text, truncation=True).input_ids) - 2 for text in prompts]
        self._sources = {number: (source, words[source]) for number, source in self.source_of.items()}
        return super().edit_latents(prompts, *arguments, **settings)

    def prepare_unet(self, attention_store: LeditsAttentionStore, PnP: bool = False) -> None:
        super().prepare_unet(attention_store, PnP)
        attention_store.__class__, attention_store.sources = StoreOfSource, self._sources


class NeverAbove(Tensor):
    """A timestep to which the rule for t > 800 does not apply."""

    def __le__(self, other: Any) -> bool:
        return True


class EightChannels(Tensor):
    """A map for latents of eight channels, where the pipeline says four."""

    def repeat(self, *counts: int) -> Tensor:
        return super().repeat(*((1, 8, 1, 1) if counts == (1, 4, 1, 1) else counts)).as_subclass(Tensor)


class StoreByPicture(LeditsAttentionStore):
    """Rows arrive prompt by prompt, and within a prompt picture by picture, each with its heads."""

    def __call__(self, attn: Tensor, is_cross: bool, place_in_unet: str, editing_prompts: int, PnP: bool = False) -> None:
        if attn.shape[1] <= self.max_size:
            prompts = 1 + editing_prompts
            by_prompt = attn.unflatten(0, (prompts, self.batch_size, -1))[1:]
            self.forward(by_prompt.transpose(0, 1).flatten(1, 2), is_cross, place_in_unet)


class StoreOfSource(StoreByPicture):
    """Hands out another text's map for those that have a source."""

    sources: dict[int, tuple[int, int]]
    """By a text's number that of its source, and how many words the source has."""

    def aggregate_attention(self, *arguments: Any, select: int, **settings: Any) -> Tensor:
        if select not in self.sources:
            return super().aggregate_attention(*arguments, select=select, **settings)
        source, words = self.sources[select]
        maps = super().aggregate_attention(*arguments, select=source, **settings)
        # In every word's column: their sum has another scale, which no quantile sees.
        return maps[..., 1 : 1 + words].sum(-1, keepdim=True).expand_as(maps)


class FixedLevels(DPMSolverMultistepScheduler):
    """Visits the timesteps that it is given; `set_timesteps` takes no other."""

    levels: list[int]

    def set_timesteps(self, *_: Any, **__: Any) -> None:
        super().set_timesteps(timesteps=self.levels)


def reference_pipeline(
    kind: type[AsShipped],
    unet: UNet2DConditionModel,
    text_encoder: Any,
    tokenizer: Any,
    prediction_type: str = "epsilon",
    levels: list[int] | None = None,
) -> Any:
    """A pipeline of this kind with the solver that its authors name; `levels` (repaired kind alone) fixes the timesteps."""
    settings = {**BETAS, "algorithm_type": "sde-dpmsolver++", "solver_order": 2, "prediction_type": prediction_type, "steps_offset": 1}
    if issubclass(kind, Repaired):
        settings["final_sigmas_type"] = "sigma_min"
    scheduler = (DPMSolverMultistepScheduler if levels is None else FixedLevels)(**settings)
    if levels is not None:
        scheduler.levels = levels
    # Latents never meet it: the pipeline only insists on decoding what it inverted.
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=unet.config.in_channels,
    )
    pipeline = kind(vae, text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@functools.cache
def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer, from the files that ComfyUI brings."""
    return CLIPTokenizer.from_pretrained(str(Path(os.environ["COMFYUI_PATH"]) / "comfy" / "sd1_tokenizer"), model_max_length=77)
