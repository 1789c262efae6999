"""The pack's own nodes: with masks tuned for each kind of edit, with a place found for any kind, and with the true regions."""

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

from .checkpoint import encoded, latent_of, loaded
from .cut import cut, stacked
from .edits import Edit
from .result import Result
from .settings import SEED, Setting, edit_requests, naming

ANY_KIND = Setting(steps=20, scale=12.0, remove_scale=3.0)
"""Of all edits in a place that is found; only the skip is the kind's own."""
KEPT_AROUND = 1.5
"""What is kept of the picture for an object, as a multiple of its size."""


def ours(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """Edits with the masks that the method finds."""
    samples, masks = _edited(edit, setting)
    original, error = latent_of(edit)["samples"], None
    if full:
        error = (_edit_node(edit, setting, ()) - original).abs().max().item()
        if "attention" not in masks:
            masks = _edited(edit, replace(setting, mask_mode="attention"))[1] | masks
    rows, columns = original.shape[-2:]
    grid = (setting.resolution,) * 2 if setting.resolution else (rows // 4, columns // 4)
    return Result(samples, masks, grid, error)


def ours_place_found(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The thing that changes is only named: its place and size are found, and the rest is kept. An added thing has the published mask."""
    setting = replace(ANY_KIND, skip=setting.skip)
    with _watched() as seen:
        samples = _edit_node(edit, setting, _concepts(edit, setting, "attention", find=True), keep_background=True)
    masks = stacked(seen, len(edit_requests(edit, setting)))
    return Result(samples, {"attention": masks["attention"]}, tuple(samples.shape[-2:]))


def ours_true_mask(edit: Edit, setting: Setting, full: bool = False) -> Result:
    """The same edit inside the true regions: what the masks could lead to at best."""
    return Result(_edit_node(edit, setting, _concepts(edit, setting, "none", true_mask=True)))


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


def _edit_node(edit: Edit, setting: Setting, concepts: tuple, **settings: Any) -> Tensor:
    inversion = _inversion(edit, setting.steps, setting.skip, setting.solver, setting.path_shift)
    model = _attentive(setting.resolution, setting.average_steps)
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
    return _probed(edit, item.phrase, setting.resolution, setting.look)


@functools.lru_cache(maxsize=64)
def _probed(edit: Edit, text: str, resolution: int, noise_level: float) -> Any:
    model = _attentive(resolution, False)
    inputs = {"text": text, "noise_level": noise_level, "seed": SEED}
    return in_comfy.run("LEDITS_ProbeAttention", model=model, latent=latent_of(edit), clip=loaded()[1], **inputs)[0]


@functools.lru_cache(maxsize=32)
def _inversion(edit: Edit, steps: int, skip: float, solver: str, path_shift: int) -> Any:
    model = loaded()[0]
    sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
    inputs = {"latent": latent_of(edit), "sigmas": sigmas, "negative": encoded(""), "seed": SEED}
    return in_comfy.run("LEDITS_Invert", model=model, **inputs, solver=solver, path_shift=path_shift)[0]


@functools.cache
def _attentive(resolution: int, average_steps: bool) -> Any:
    return in_comfy.run("LEDITS_AttentionStore", model=loaded()[0], resolution=resolution, average_steps=average_steps)[0]
