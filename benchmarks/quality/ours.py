"""The pack's own nodes: with masks of each step, with a place that is found, with the true regions, and as FlowEdit without masks."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

from scripts.host import in_comfy

import torch
from torch import Tensor

from scripts.small_model.drawings import SIZE, Item, coverage

from .checkpoint import encoded, latent_of, loaded, model_of
from .cut import cut, stacked
from .edits import Edit
from .result import Result
from .settings import SEED, Setting, edit_requests, naming
from .subjects import Subject

KEPT_AROUND = 1.5
"""What is kept of the picture for an object, as a multiple of its size."""


def ours(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Edits with the masks that the method finds."""
    samples, masks = _edited(edit, setting)
    if full and "attention" not in masks:
        masks = _edited(edit, replace(setting, mask_mode="attention"))[1] | masks
    rows, columns = samples.shape[-2:]
    grid = (setting.resolution,) * 2 if setting.resolution else (rows // 4, columns // 4)
    return Result(samples, masks, grid, _replay_error(edit, setting) if full else None)


def ours_as_published(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same with the masks of the paper's own code, whatever the size of the change."""
    return ours(edit, replace(setting, mask_mode="intersect", threshold=0.9, named_words=False, look=0.0), full)


def ours_place_found(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The thing that changes is only named: its place and size are found, and the rest is kept. An added thing has the published mask."""
    setting = setting.of_any_kind
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, "attention", find=True), keep_background=True)
    masks = stacked(seen, len(edit_requests(edit, setting)))
    error = _replay_error(edit, setting) if full else None
    return Result(samples, {"attention": masks["attention"]}, tuple(samples.shape[-2:]), error)


def ours_true_mask(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same edit inside the true regions: what the masks could lead to at best."""
    return Result(_edit_node(edit, setting, _concepts(edit, setting, "none", true_mask=True)))


def flowedit(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Its solver and no mask: from the prompt of the photo, with weak guidance, to that of the wanted one, with strong guidance."""
    setting = replace(setting, solver="ODE", path_shift=0, skip=setting.flowedit_skip)
    target = {"positive": encoded(edit.asked.caption), "cfg": setting.target_cfg}
    samples = _edit_node(edit, setting, (), setting.source_cfg, **target)
    return Result(samples, replay_error=_replay_error(edit, setting, setting.source_cfg) if full else None)


def _replay_error(edit: Edit, setting: Setting, source_cfg: float = 0.0) -> float:
    return (_edit_node(edit, setting, (), source_cfg) - latent_of(edit)["samples"]).abs().max().item()


def _edited(edit: Edit, setting: Setting) -> tuple[Tensor, dict[str, Tensor]]:
    """The edited latent, and the masks on the way to it."""
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, setting.mask_mode))
    return samples, stacked(seen, len(edit_requests(edit, setting)))


@contextlib.contextmanager
def _watched() -> Iterator[list[dict[str, Tensor]]]:
    """Collects what the guider's masks are cut from, concept by concept and step by step."""
    in_comfy.pack()
    guider = importlib.import_module("ledits_pack.nodes.comfyui.sampling.guider")
    make, seen = guider.guidance_mask, []

    def watch(guidance: Tensor, edit: Any, word_map: Tensor | None, smoothing: float) -> Tensor:
        seen.append(cut(guidance, word_map, edit.threshold, smoothing))
        return make(guidance, edit, word_map, smoothing)

    with mock.patch.object(guider, "guidance_mask", watch):
        yield seen


def _edit_node(edit: Edit, setting: Setting, concepts: tuple, source_cfg: float = 0.0, **settings: Any) -> Tensor:
    inversion = _inversion(edit, setting.subject, setting.steps, setting.skip, setting.solver, setting.path_shift, source_cfg)
    model = _attentive(setting.subject, setting.resolution, setting.average_steps)
    inputs = settings | ({"concepts": concepts} if concepts else {})
    return in_comfy.run("LEDITS_Edit", model=model, inversion=inversion, **inputs)[0]["samples"]


def _concepts(edit: Edit, setting: Setting, mode: str, true_mask: bool = False, find: bool = False) -> tuple:
    concepts: tuple = ()
    for request in edit_requests(edit, setting):
        where, words, threshold, mask_mode = {}, request.words, request.threshold, mode
        if true_mask:
            where = {"mask": torch.from_numpy(request.change.region).float()[None]}
        elif find and request.change.before is not None:
            where, words, threshold = {"where": request.change.before.phrase}, naming(request.change.before), 0.0
        elif find:
            threshold, mask_mode = 0.9, "intersect"
        elif setting.look and request.change.before is not None:
            where, words = {"attention": _seen(edit, request.change.before, setting)}, naming(request.change.before)
        elif setting.look:
            where = {"mask": _beside(edit, setting)}
        concepts = in_comfy.run(
            "LEDITS_Concept",
            clip=loaded()[1],
            text=request.text,
            direction="add" if request.add else "remove",
            scale=request.scale,
            threshold=threshold,
            mask_mode=mask_mode,
            warmup=setting.warmup,
            cooldown=setting.cooldown,
            words=words if setting.named_words else "",
            concepts=concepts,
            **where,
        )[0]
    return concepts


def _beside(edit: Edit, setting: Setting) -> Tensor:
    """A mask of everything but the objects that are there, for one to be added, [1, H, W]."""
    keep = torch.zeros(1, SIZE, SIZE)
    for item in edit.others:
        share = KEPT_AROUND * float((coverage(item) >= 0.5).mean())
        found = in_comfy.run("LEDITS_ExtractMask", attention=_seen(edit, item, setting), words=naming(item), quantile=1 - share)[0]
        keep = torch.maximum(keep, found)
    return 1 - keep


def _seen(edit: Edit, item: Item, setting: Setting) -> Any:
    """Where the object is in the photo."""
    return _probed(edit, setting.subject, item.phrase, setting.resolution, setting.look)


@functools.lru_cache(maxsize=64)
def _probed(edit: Edit, subject: Subject, text: str, resolution: int, noise_level: float) -> Any:
    model = _attentive(subject, resolution, False)
    inputs = {"text": text, "noise_level": noise_level, "seed": SEED}
    return in_comfy.run("LEDITS_ProbeAttention", model=model, latent=latent_of(edit), clip=loaded()[1], **inputs)[0]


@functools.lru_cache(maxsize=32)
def _inversion(
    edit: Edit, subject: Subject, steps: int, skip: float, solver: str = "LEDITS++", path_shift: int = 0, source_cfg: float = 0.0
) -> Any:
    """With the prompt of the photo where that has any guidance."""
    model = model_of(subject)
    sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
    inputs = {"latent": latent_of(edit), "sigmas": sigmas, "negative": encoded(""), "seed": SEED}
    source = {"positive": encoded(edit.scene.caption), "cfg": source_cfg} if source_cfg else {}
    return in_comfy.run("LEDITS_Invert", model=model, **inputs, **source, solver=solver, path_shift=path_shift)[0]


@functools.cache
def _attentive(subject: Subject, resolution: int, average_steps: bool) -> Any:
    model = model_of(subject)
    return in_comfy.run("LEDITS_AttentionStore", model=model, resolution=resolution, average_steps=average_steps)[0]
