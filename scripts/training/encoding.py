"""The autoencoder's part in every training: what it is trained on, and pictures as its latents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scripts.small_model.autoencoder import Autoencoder
from scripts.training.stage import DEVICE, say


def to_tensor(pictures: np.ndarray) -> Tensor:
    """[B, H, W, 3] uint8 to [B, 3, H, W] float32 in 0..1."""
    pictures = torch.from_numpy(np.array(pictures)).to(DEVICE)
    return (pictures.movedim(-1, 1).float() / 255).contiguous(memory_format=torch.channels_last)


def reconstruction_loss(model: Autoencoder, pictures: Tensor, noise: float, absolute: float, spread: float) -> Tensor:
    """Squared error of the decoded pictures, [B, 3, H, W] in 0..1.

    Args:
        noise: standard deviation of what is added to the latents: they must bear a little.
        absolute: weight of the absolute error, which keeps edges.
        spread: weight of the latents' distance from mean 0 and deviation 1 in each channel.
    """
    latents = model.encode(pictures)
    distance = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
    error = model.decode(latents + noise * torch.randn_like(latents)) - pictures
    return error.square().mean() + absolute * error.abs().mean() + spread * distance


@torch.no_grad()
def encode(work: Path, model: Autoencoder, pictures: Iterable[np.ndarray], count: int) -> Tensor:
    """The latents of all pictures, [count, channels, H / 8, W / 8] float32; kept on disk for this autoencoder.

    Args:
        pictures: in parts, [B, H, W, 3] uint8; not looked at where the latents are there.
    """
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()]).cpu().numpy().tobytes()
    path = work / f"latents-{count}-{hashlib.sha256(weights).hexdigest()[:8]}.safetensors"
    if not path.exists():
        say(f"encoding {count} pictures")
        partial = path.with_suffix(".partial")
        save_file({"latents": torch.cat([model.encode(to_tensor(part)).cpu() for part in pictures]).contiguous()}, partial)
        partial.rename(path)
    return load_file(path)["latents"]
