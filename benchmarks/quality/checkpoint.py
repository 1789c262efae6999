"""The small models in this process, and the pictures on their way through their autoencoder: the same one for every method."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from scripts.host import in_comfy

import comfy.utils
import numpy as np
import torch
from torch import Tensor

from .edits import Edit
from .subjects import FILES, SUBJECTS, Subject

comfy.utils.PROGRESS_BAR_ENABLED = False


@functools.cache
def _loaded(file: Path) -> tuple[Any, Any, Any]:
    return in_comfy.load_checkpoint(file)


def loaded(subject: Subject = SUBJECTS[0]) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the checkpoint that the subject reads, once a process."""
    return _loaded(FILES[subject][0])


@functools.cache
def model_of(subject: Subject) -> Any:
    """The subject's MODEL, once a process."""
    return in_comfy.load_network(FILES[subject][-1]) if len(FILES[subject]) > 1 else loaded(subject)[0]


@functools.lru_cache(maxsize=256)
def encoded(text: str, subject: Subject = SUBJECTS[0]) -> list[list[Any]]:
    """A prompt's CONDITIONING."""
    with torch.inference_mode():
        return in_comfy.encode(loaded(subject)[1], text)


@functools.lru_cache(maxsize=64)
def _samples(edit: Edit, subject: Subject) -> Tensor:
    with torch.inference_mode():
        return loaded(subject)[2].encode(in_comfy.to_image(edit.photo))


def latent_of(edit: Edit, subject: Subject = SUBJECTS[0]) -> dict[str, Tensor]:
    """The picture of an edit as a LATENT."""
    return {"samples": _samples(edit, subject)}


def picture_of(samples: Tensor, subject: Subject = SUBJECTS[0]) -> np.ndarray:
    """The first picture of decoded latents, [H, W, 3] uint8."""
    with torch.inference_mode():
        return (loaded(subject)[2].decode(samples)[0].clamp(0, 1) * 255).round().byte().numpy()
