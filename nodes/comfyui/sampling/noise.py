"""What a MODEL's own sampling object says of its noise. The only place that knows ComfyUI's classes of noise."""

import comfy.model_sampling
from comfy.model_patcher import ModelPatcher

from ....ledits.solver import NoiseKind


def noise_kind(model: ModelPatcher) -> NoiseKind | None:
    """How the model mixes image and noise; None where the solver does not know its kind."""
    sampling = model.get_model_object("model_sampling")
    flow = isinstance(sampling, comfy.model_sampling.CONST)
    return NoiseKind(flow) if flow or isinstance(sampling, comfy.model_sampling.EPS) else None


def vae_scale_factor(model: ModelPatcher) -> int:
    """Image pixels along one side of a latent pixel."""
    return getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)
