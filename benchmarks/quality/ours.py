"""The pack's own nodes: with masks of each step, with a place that is found, with the true regions, and as FlowEdit without masks."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

from scripts.host import in_comfy

import torch
from torch import Tensor

from scripts.small_model.drawings import SIZE, coverage

from . import drawings
from .checkpoint import encoded, latent_of, loaded, model_of
from .cut import cut, stacked
from .edits import Edit
from .result import Result
from .settings import SEED, EditRequest, Setting, edit_requests, naming
from .subjects import Subject

Place = Callable[[EditRequest], dict[str, Any]]
"""The inputs of Concept that say where a request may act."""
KEPT_AROUND = 1.5
"""What is kept of the picture for an object, as a multiple of its size."""


def ours(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Edits with the masks that the method finds."""
    samples, masks = _edited(edit, setting)
    if full and "attention" not in masks:
        masks = _edited(edit, replace(setting, mask_mode="attention"))[1] | masks
    return Result(samples, masks, _grid(samples, setting), _replay_error(edit, setting) if full else None)


def ours_as_published(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same with the masks of the paper's own code, whatever the size of the change."""
    return ours(edit, replace(setting, mask_mode="intersect", threshold=0.9, named_words=False, look=0.0), full)


def ours_without_source(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Knows only what is to come, or else what is to go: each step's mask is where those words look, and its size is the map's own."""
    if any(change.after for change in edit.changes):
        setting = replace(setting, remove_scale=0.0)
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, _automatic), keep_background=True)
    return Result(samples, {"attention": stacked(seen, len(edit_requests(edit, setting)))["attention"]}, _grid(samples, setting))


def ours_place_found(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """What is there is only named: its place and size are found, and the rest is kept."""
    setting = replace(setting.of_any_kind, as_written=True)
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, _named_place), keep_background=True)
    masks = stacked(seen, len(edit_requests(edit, setting)))
    error = _replay_error(edit, setting) if full else None
    return Result(samples, {"attention": masks["attention"]}, tuple(samples.shape[-2:]), error)


def ours_true_mask(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same edit inside the true regions: what the masks could lead to at best."""
    setting = replace(setting, as_written=True)
    return Result(_edit_node(edit, setting, _concepts(edit, setting, _true_place)))


def ours_true_mask_one_setting(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same with the setting of a place that is found."""
    return ours_true_mask(edit, setting.of_any_kind)


def flowedit(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Its solver and no mask: from the prompt of the photo, with weak guidance, to that of the wanted one, with strong guidance."""
    setting = replace(setting, solver="ODE", path_shift=0, skip=setting.flowedit_skip)
    target = {"positive": encoded(edit.asked_caption, setting.subject), "cfg": setting.target_cfg}
    samples = _edit_node(edit, setting, (), setting.source_cfg, **target)
    return Result(samples, replay_error=_replay_error(edit, setting, setting.source_cfg) if full else None)


def _replay_error(edit: Edit, setting: Setting, source_cfg: float = 0.0) -> float:
    return (_edit_node(edit, setting, (), source_cfg) - latent_of(edit, setting.subject)["samples"]).abs().max().item()


def _edited(edit: Edit, setting: Setting) -> tuple[Tensor, dict[str, Tensor]]:
    """The edited latent, and the masks on the way to it."""
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, functools.partial(_own_place, edit, setting)))
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


def _concepts(edit: Edit, setting: Setting, place: Place) -> tuple:
    concepts: tuple = ()
    for request in edit_requests(edit, setting):
        concepts = in_comfy.run(
            "LEDITS_Concept",
            clip=loaded(setting.subject)[1],
            text=request.text,
            direction="add" if request.add else "remove",
            scale=request.scale,
            warmup=setting.warmup,
            cooldown=setting.cooldown,
            concepts=concepts,
            **place(request),
        )[0]
    return concepts


def _true_place(request: EditRequest) -> dict[str, Any]:
    return {"mask_mode": "none", "mask": torch.from_numpy(request.change.region).float()[None]}


def _automatic(request: EditRequest) -> dict[str, Any]:
    return {"mask_mode": "attention", "threshold": 0.0, "words": request.words}


def _named_place(request: EditRequest) -> dict[str, Any]:
    """Where the thing is that changes; of what is added that place is larger than the new thing, whose own each step finds in it."""
    mode = "attention" if request.change.before else "intersect"
    return {"mask_mode": mode, "threshold": 0.0, "where": request.where, "words": naming(request.where.removeprefix("-"))}


def _own_place(edit: Edit, setting: Setting, request: EditRequest) -> dict[str, Any]:
    """As the setting says."""
    before, found = request.change.before, {"mask_mode": setting.mask_mode, "threshold": request.threshold, "words": request.words}
    if setting.look and before is not None:
        found |= {"attention": _seen(edit, before.phrase, setting), "words": naming(before.phrase)}
    elif setting.look:
        found |= {"mask": _beside(edit, setting)}
    return found if setting.named_words else found | {"words": ""}


def _grid(samples: Tensor, setting: Setting) -> tuple[int, int]:
    """Of the attention maps of each step."""
    rows, columns = samples.shape[-2:]
    return (setting.resolution,) * 2 if setting.resolution else (rows // 4, columns // 4)


def _beside(edit: drawings.Edit, setting: Setting) -> Tensor:
    """A mask of everything but the objects that are there, for one to be added, [1, H, W]."""
    keep = torch.zeros(1, SIZE, SIZE)
    for item in edit.others:
        share = KEPT_AROUND * float((coverage(item) >= 0.5).mean())
        found = in_comfy.run(
            "LEDITS_ExtractMask", attention=_seen(edit, item.phrase, setting), words=naming(item.phrase), quantile=1 - share
        )[0]
        keep = torch.maximum(keep, found)
    return 1 - keep


def _seen(edit: Edit, phrase: str, setting: Setting) -> Any:
    """Where the thing is in the photo."""
    return _probed(edit, setting.subject, phrase, setting.resolution, setting.look)


@functools.lru_cache(maxsize=64)
def _probed(edit: Edit, subject: Subject, text: str, resolution: int, noise_level: float) -> Any:
    model = _attentive(subject, resolution, False)
    inputs = {"text": text, "noise_level": noise_level, "seed": SEED}
    return in_comfy.run("LEDITS_ProbeAttention", model=model, latent=latent_of(edit, subject), clip=loaded(subject)[1], **inputs)[0]


@functools.lru_cache(maxsize=32)
def _inversion(
    edit: Edit, subject: Subject, steps: int, skip: float, solver: str = "LEDITS++", path_shift: int = 0, source_cfg: float = 0.0
) -> Any:
    """With the prompt of the photo where that has any guidance."""
    model = model_of(subject)
    sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
    inputs = {"latent": latent_of(edit, subject), "sigmas": sigmas, "negative": encoded("", subject), "seed": SEED}
    source = {"positive": encoded(edit.caption, subject), "cfg": source_cfg} if source_cfg else {}
    return in_comfy.run("LEDITS_Invert", model=model, **inputs, **source, solver=solver, path_shift=path_shift)[0]


@functools.cache
def _attentive(subject: Subject, resolution: int, average_steps: bool) -> Any:
    model = model_of(subject)
    return in_comfy.run("LEDITS_AttentionStore", model=model, resolution=resolution, average_steps=average_steps)[0]
