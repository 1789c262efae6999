"""Networks that are made for videos too take an image as a latent of one frame, [B, C, 1, H, W]. The method knows no frames."""

from torch import Tensor


def drop_frame(latent: Tensor) -> Tensor:
    """[B, C, H, W] of a latent with or without a frame; `reshape` brings the frame back."""
    return latent.flatten(1, -3)
