"""The small models in this process, and the pictures on their way through their autoencoder: the same one for every method."""

from __future__ import annotations

import functools
from typing import Any

from scripts.host import in_comfy

import comfy.utils
import numpy as np
import torch
from torch import Tensor

from scripts.small_model.drawings import Scene

from .edits import Edit
from .subjects import FILES, Subject

comfy.utils.PROGRESS_BAR_ENABLED = False


@functools.cache
def loaded() -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the small checkpoint, once a process."""
    return in_comfy.load_checkpoint()


@functools.cache
def model_of(subject: Subject) -> Any:
    """The subject's MODEL, once a process."""
    return loaded()[0] if subject == "unet" else in_comfy.load_network(FILES[subject][-1])


@functools.lru_cache(maxsize=256)
def encoded(text: str) -> list[list[Any]]:
    """A prompt's CONDITIONING."""
    with torch.inference_mode():
        return in_comfy.encode(loaded()[1], text)


def latent_of(edit: Edit) -> dict[str, Tensor]:
    """The picture of an edit as a LATENT."""
    return {"samples": _samples(edit.scene)}


@functools.lru_cache(maxsize=64)
def _samples(scene: Scene) -> Tensor:
    photo = in_comfy.to_image(scene.image())
    with torch.inference_mode():
        return loaded()[2].encode(photo)


def picture_of(samples: Tensor) -> np.ndarray:
    """The first picture of decoded latents, [H, W, 3] uint8."""
    with torch.inference_mode():
        return (loaded()[2].decode(samples)[0].clamp(0, 1) * 255).round().byte().numpy()
