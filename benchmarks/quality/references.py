"""diffusers' pipeline on the same weights, as shipped and repaired."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scripts.host import in_comfy

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.reference.pipeline import AsShipped, EightChannels, Repaired, SourceNamed, clip_tokenizer, reference_pipeline
from benchmarks.reference.unet import diffusers_unet, to_diffusers
from scripts.small_model.comfyui_node import SCENES_UNET, TEXT_MODEL, UNET

from .checkpoint import latent_of, loaded
from .cut import cut, stacked
from .edits import Edit
from .result import Result
from .settings import SEED, EditRequest, Setting, edit_requests
from .subjects import FILES, SUBJECTS, Subject

CONFIGURATIONS: dict[Subject, dict[str, Any]] = {"unet": UNET, "scenes": SCENES_UNET}
UNET_PREFIX, TEXT_PREFIX = "model.diffusion_model.", "cond_stage_model.transformer.text_model."


class Watched:
    """Keeps what a pipeline's attention masks are cut from: the smoothed maps, concept by concept and step by step."""

    @property
    def smoothing(self) -> Callable[[Tensor], Tensor]:
        return self._watch

    @smoothing.setter
    def smoothing(self, smooth: Callable[[Tensor], Tensor]) -> None:
        self.smoothed: list[Tensor] = []
        self._smooth = smooth

    def _watch(self, maps: Tensor) -> Tensor:
        self.smoothed.append(self._smooth(maps))
        eight = self.unet.config.in_channels == 8
        return self.smoothed[-1].as_subclass(EightChannels) if eight else self.smoothed[-1]


class WatchedShipped(Watched, AsShipped):
    """Above t = 800 its intersection is the attention mask alone."""

    first_intersection = 800


class WatchedRepaired(Watched, Repaired):
    first_intersection = 1000


class WatchedSourceNamed(Watched, SourceNamed):
    first_intersection = 1000


class Reference:
    """One kind of the reference pipeline as a method."""

    def __init__(self, kind: type, official_levels: bool):
        self._kind, self._official_levels = kind, official_levels

    @classmethod
    def as_shipped(cls) -> Reference:
        return cls(WatchedShipped, official_levels=False)

    @classmethod
    def repaired(cls) -> Reference:
        return cls(WatchedRepaired, official_levels=True)

    @classmethod
    def source_named(cls) -> Reference:
        """What is added has the masks of what it replaces."""
        return cls(WatchedSourceNamed, official_levels=True)

    def __call__(self, edit: Edit, setting: Setting, full: bool = False) -> Result:
        pipeline, error = self._pipeline(setting.subject, setting.steps, setting.skip), None
        original = latent_of(edit, setting.subject)["samples"]
        with torch.inference_mode():
            pipeline.invert_latents(original, setting.steps, setting.skip, SEED)
            if full:  # before any edit, since those leave their attention processors installed
                error = (_replayed(pipeline) - original).abs().max().item()
            samples, masks = _edited(pipeline, edit, setting)
            if full and "attention" not in masks:
                masks = _edited(pipeline, edit, replace(setting, mask_mode="attention"))[1] | masks
        rows, columns = original.shape[-2:]
        return Result(samples, masks, (rows // 4, columns // 4), error)

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are three of them, which live as long as the process)
    def _pipeline(self, subject: Subject, steps: int, skip: float) -> Any:
        levels = None
        if self._official_levels:
            model = loaded(subject)[0]
            sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
            levels = [int(t) for t in model.get_model_object("model_sampling").timestep(sigmas[:-1])]
        return reference_pipeline(self._kind, unet(subject), text_encoder(subject), clip_tokenizer(), "v_prediction", levels)


def _edited(pipeline: Any, edit: Edit, setting: Setting) -> tuple[Tensor, dict[str, Tensor]]:
    """The edited latent, and the masks on the way to it."""
    asked = edit_requests(edit, setting)
    predictions: list[Tensor] = []
    pipeline.smoothed, pipeline.source_of = [], _source_of(asked)
    watch = pipeline.unet.register_forward_hook(lambda network, inputs, output: predictions.append(output.sample))
    try:
        samples = pipeline.edit_latents(
            [request.text for request in asked],
            [not request.add for request in asked],
            [request.scale for request in asked],
            [request.threshold for request in asked],
            [setting.warmup] * len(asked),
            [setting.cooldown] * len(asked) if setting.cooldown else None,
            mask_mode=setting.mask_mode,
        )
    finally:
        watch.remove()
    maps, seen = iter(pipeline.smoothed), []
    for step in setting.active_steps:
        empty, *concepts = predictions[step].split(1)
        for request, concept in zip(asked, concepts, strict=True):
            smoothed = next(maps, None)
            found = cut(concept - empty, None if smoothed is None else smoothed[:, 0], request.threshold, 0)
            if "attention" in found and int(pipeline.inversion_steps[step]) > pipeline.first_intersection:
                found["intersect"] = found["attention"]
            seen.append(found)
    return samples, stacked(seen, len(asked))


def _source_of(asked: list[EditRequest]) -> dict[int, int]:
    """By the number of what replaces something that of what it replaces, which is the request before it."""
    return {number: number - 1 for number in range(1, len(asked)) if asked[number].add and asked[number].change is asked[number - 1].change}


def _replayed(pipeline: Any) -> Tensor:
    pipeline.source_of = {}
    return pipeline.edit_latents([], [], [], [], [], mask_mode="noise")


@functools.cache
def unet(subject: Subject = SUBJECTS[0]) -> Any:
    """The checkpoint's UNet under diffusers' names."""
    configuration = CONFIGURATIONS[subject]
    network = diffusers_unet(configuration)
    network.load_state_dict(to_diffusers(_weights(subject, UNET_PREFIX), configuration))
    # The repaired pipeline edits with timesteps of a kind of its own, which would make every layer's output one too, and slow.
    network.register_forward_pre_hook(lambda network, inputs: (*inputs[:1], *(int(timestep) for timestep in inputs[1:])))
    return network


@functools.cache
def text_encoder(subject: Subject = SUBJECTS[0]) -> CLIPTextModel:
    """The checkpoint's text model in transformers."""
    model = CLIPTextModel(CLIPTextConfig(**TEXT_MODEL))
    names = {name.removeprefix("text_model."): name for name in model.state_dict()}
    model.load_state_dict({names[name]: value for name, value in _weights(subject, TEXT_PREFIX).items()})
    return model.eval()


def _weights(subject: Subject, prefix: str) -> dict[str, Tensor]:
    stored = load_file(FILES[subject][0])
    return {name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)}
