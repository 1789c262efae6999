"""Looks for the words of every `where` in the photo: one prediction, before the first step that needs a place."""

from collections.abc import Sequence
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ....ledits.inversion import add_noise
from ....ledits.place import beside, place_map
from ....ledits.prompt import merge_words
from ....ledits.solver import NoiseKind
from ..attention.adapters import AttentionAdapter
from ..attention.concept_map import concept_word_maps
from ..attention.recorder import Recorder
from ..types import Concept, Conds, ImageInversion
from .predictions import predict_conds


def search_sigma(noise: NoiseKind) -> float:
    """kappa = sigma / alpha = 1: there words find things best."""
    return 0.5 if noise.flow else 1.0


def find_places(
    model: Any,
    adapters: Sequence[AttentionAdapter],
    inversion: ImageInversion,
    concepts: dict[str, Concept],
    conds: dict[str, Conds],
    x: Tensor,
    timestep: Tensor,
    model_options: dict,
) -> dict[str, tuple[Tensor, Tensor]]:
    """By the name of each search, the words' maps [B, h, w, words] and the place [B, H, W] in 0..1; with the inversion's own noise.

    Args:
        adapters: of the layers that are listened to.
        concepts: whose `where` is searched.
        conds: the prompts of these words.
        x: a state of the edit, for its shape and device.
    """
    trajectory = inversion.trajectory
    sigma, x0 = search_sigma(trajectory.noise), trajectory.x0.to(x.device)
    noised = add_noise(x0, [trajectory.noise.level(sigma)], inversion.seed)[0]
    recorders = [Recorder(adapter, lambda key: True) for adapter in adapters]
    # Other nodes' guidance counts the steps that it is asked for.
    options = {key: value for key, value in model_options.items() if key != "sampler_calc_cond_batch_function"}
    arguments = {"model": model, "input": noised.reshape(x.shape), "sigma": torch.full_like(timestep, sigma), "model_options": options}
    predict_conds(conds, arguments, *recorders)
    found = {}
    for name, concept in concepts.items():
        comfy.model_management.throw_exception_if_processing_interrupted()
        maps = [concept_word_maps(recorder, name, conds[name], concept.recorded_prompt, x) for recorder in recorders]
        place = place_map([merge_words(part, concept.words) for part in maps], x0, concept.smoothing)
        found[name] = maps[0], beside(place) if concept.is_beside else place
    return found
