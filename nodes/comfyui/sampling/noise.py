"""What a MODEL's own sampling object says of its noise. The only place that knows ComfyUI's classes of noise."""

import torch
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import CONST, COSMOS_RFLOW, EPS, IMG_TO_IMG_FLOW
from torch import Tensor

from ....ledits.schedule import flow_sigmas, reference_kappa, sigmas
from ....ledits.solver import NoiseKind


def noise_kind(model: ModelPatcher) -> NoiseKind | None:
    """How the model mixes image and noise; None where the solver does not know its kind."""
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, IMG_TO_IMG_FLOW):  # a CONST that adds no noise
        return None
    if isinstance(sampling, CONST):
        return NoiseKind(flow=True, scale=getattr(sampling, "noise_scale", 1.0))
    if isinstance(sampling, COSMOS_RFLOW):
        return NoiseKind(trained_as_flow=True)
    return NoiseKind(sigma_data=sampling.sigma_data) if isinstance(sampling, EPS) else None


def schedule(model: ModelPatcher, steps: int, skip: float) -> Tensor:
    """The levels of LEDITS++ for a model of a known kind of noise; [N + 1], ending in 0.

    A noise scale is not counted: it makes up for pixels, which are more and smaller than those of a latent.
    """
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, COSMOS_RFLOW):
        # Its time is the share of noise, sigma / (1 + sigma).
        shares = flow_sigmas(torch.ones(1), steps, skip)
        return shares / (1 - shares)
    return (flow_sigmas if isinstance(sampling, CONST) else sigmas)(sampling.sigmas, steps, skip)


def level_sigma(model: ModelPatcher, noise_level: float) -> float:
    """The sigma at a share of the noise range: of the model's own table of timesteps, or of SD 1.5's for models without one."""
    sampling = model.get_model_object("model_sampling")
    if not isinstance(sampling, CONST | COSMOS_RFLOW):
        # ComfyUI gives a share of 1 a sigma beyond any table.
        return min(sampling.percent_to_sigma(1.0 - noise_level), float(sampling.sigma_max))
    kappa = reference_kappa(999 * noise_level)
    return kappa / (1 + kappa) if isinstance(sampling, CONST) else kappa


def is_guidance_distilled(model: ModelPatcher) -> bool:
    """Whether the network takes the strength of guidance as an input (Flux.1 dev): its empty prompt means nothing then."""
    params = getattr(model.get_model_object("diffusion_model"), "params", None)
    return bool(getattr(params, "guidance_embed", False))
