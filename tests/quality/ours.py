"""The pack's own nodes, with the masks that they find and with the true regions in their place."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import in_comfy
import torch
from torch import Tensor

from .checkpoint import encoded, latent_of, loaded
from .edits import Edit
from .methods import Result
from .settings import SEED, Setting, wishes


def ours(edit: Edit, setting: Setting, modes: Sequence[str] = (), replay: bool = False) -> Result:
    """Edits with the masks that the method finds."""
    made = {mode: _guided(edit, setting, mode) for mode in dict.fromkeys((setting.mask_mode, *modes))}
    original = latent_of(edit)["samples"]
    rows, columns = original.shape[-2:]
    grid = (setting.resolution,) * 2 if setting.resolution else (rows // 4, columns // 4)
    error = None
    if replay:
        error = (_edit_node(edit, setting, ()) - original).abs().max().item()
    return Result(made[setting.mask_mode][0], {mode: masks for mode, (_, masks) in made.items()}, grid, error)


def ours_true_mask(edit: Edit, setting: Setting, modes: Sequence[str] = (), replay: bool = False) -> Result:
    """The same edit inside the true regions: what the masks could lead to at best."""
    return Result(_edit_node(edit, setting, _concepts(edit, setting, "none", true_mask=True)))


def _edit_node(edit: Edit, setting: Setting, concepts: tuple) -> Tensor:
    inversion = _inversion(edit, setting.steps, setting.skip)
    inputs = {"concepts": concepts} if concepts else {}
    return in_comfy.run("LEDITS_Edit", model=_model(setting), inversion=inversion, **inputs)[0]["samples"]


def _guided(edit: Edit, setting: Setting, mode: str) -> tuple[Tensor, Tensor]:
    """What LEDITS_Edit makes, by the two nodes that it is made of, because between steps their masks can be looked at.

    Returns:
        The edited latent and the masks of every active step, [steps, concepts, h, w] bool.
    """
    inversion = _inversion(edit, setting.steps, setting.skip)
    concepts = _concepts(edit, setting, mode)
    guider = in_comfy.run("LEDITS_MaskedGuider", model=_model(setting), inversion=inversion, concepts=concepts)[0]
    sampler, sigmas, latent, _ = in_comfy.run("LEDITS_ReplaySampler", inversion=inversion)
    masks: list[Tensor] = []

    def look(step: int, *_: Any) -> None:
        if step in setting.active_steps:
            masks.append(torch.cat(guider._record.masks)[:, 0] > 0.5)

    samples = latent["samples"]
    with torch.inference_mode():
        edited = guider.sample(torch.zeros_like(samples), samples, sampler, sigmas, callback=look, disable_pbar=True)
    return edited, torch.stack(masks)


def _concepts(edit: Edit, setting: Setting, mode: str, true_mask: bool = False) -> tuple:
    concepts: tuple = ()
    for wish in wishes(edit, setting):
        region = {"mask": torch.from_numpy(wish.change.region).float()[None]} if true_mask else {}
        concepts = in_comfy.run(
            "LEDITS_Concept",
            clip=loaded()[1],
            text=wish.text,
            direction="add" if wish.add else "remove",
            scale=wish.scale,
            threshold=wish.threshold,
            mask_mode=mode,
            warmup=setting.warmup,
            cooldown=setting.cooldown,
            words=wish.words if setting.named_words else "",
            concepts=concepts,
            **region,
        )[0]
    return concepts


@functools.lru_cache(maxsize=32)
def _inversion(edit: Edit, steps: int, skip: float) -> Any:
    model = loaded()[0]
    sigmas = in_comfy.run("LEDITS_Schedule", model=model, steps=steps, skip=skip)[0]
    return in_comfy.run("LEDITS_Invert", model=model, latent=latent_of(edit), sigmas=sigmas, negative=encoded(""), seed=SEED)[0]


def _model(setting: Setting) -> Any:
    return _attentive(setting.resolution, setting.average_steps)


@functools.cache
def _attentive(resolution: int, average_steps: bool) -> Any:
    return in_comfy.run("LEDITS_AttentionStore", model=loaded()[0], resolution=resolution, average_steps=average_steps)[0]
