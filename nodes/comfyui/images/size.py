"""How large a model's images are, and the size in which it draws best."""

import math

from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher

SIDE = 64  # both sides are multiples of it, which every network and VAE can halve as often as it does


def vae_scale_factor(model: ModelPatcher) -> int:
    """Image pixels along one side of a latent pixel."""
    return getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)


def preferred_megapixels(model: ModelPatcher) -> float:
    """The pixels, in units of 1024 x 1024, of the images that the model was trained at: 512 for SD 1 and 2, 768 for SD 2 that predicts v."""
    config = model.model.model_config.unet_config
    if "model_channels" not in config or config.get("context_dim", 2048) > 1024:
        return 1.0
    return (768 if config["context_dim"] == 1024 and model.model.model_type is ModelType.V_PREDICTION else 512) ** 2 / 1024**2


def fitted_size(height: int, width: int, megapixels: float) -> tuple[int, int]:
    """Height and width with so many pixels, in units of 1024 x 1024, in the nearest proportions whose sides are multiples of SIDE."""
    scale = 1024 * math.sqrt(megapixels / (height * width))
    return max(1, round(height * scale / SIDE)) * SIDE, max(1, round(width * scale / SIDE)) * SIDE


def is_fitted(height: int, width: int, to_height: int, to_width: int) -> bool:
    """Whether `fitted_size` makes an image of the first size one of the second, with some number of pixels: its sides are rounded to SIDE."""
    least = max((to_height - SIDE / 2) / height, (to_width - SIDE / 2) / width)
    most = min((to_height + SIDE / 2) / height, (to_width + SIDE / 2) / width)
    return to_height % SIDE == 0 == to_width % SIDE and least < most
