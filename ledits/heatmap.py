"""Maps as pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def colour(maps: Tensor) -> Tensor:
    """Maps in 0..1 as colours of steadily rising brightness, [B, H, W] to [B, H, W, 3].

    The cubehelix of D. A. Green, "A colour scheme for the display of astronomical intensity images", Bull. Astr. Soc. India 39
    (2011), equation 2, with start 0.5, -1.5 rotations, hue 1.2.
    """
    angle = 2 * math.pi * (0.5 / 3 + 1 - 1.5 * maps)
    amplitude = 1.2 * maps * (1 - maps) / 2
    cosine, sine = amplitude * angle.cos(), amplitude * angle.sin()
    channels = [maps + red * cosine + blue * sine for red, blue in ((-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0))]
    return torch.stack(channels, -1).clamp(0, 1)


def overlay(pictures: Tensor, colours: Tensor, opacity: float) -> Tensor:
    """Colours over greyed pictures, both [B, H, W, 3] in 0..1; a batch of one picture serves all."""
    grey = pictures.mean(-1, keepdim=True).expand_as(pictures)
    return torch.lerp(torch.lerp(pictures, grey, opacity), colours, opacity)


def labelled(panels: Tensor, text: str, longest: int = 0) -> Tensor:
    """Panels [B, H, W, 3] with the text on a dark strip below each, its height in proportion.

    Args:
        longest: letters of the longest text, where several shall be of one size.
    """
    batch, _height, width, _ = panels.shape
    size = max(12, min(width // 8, width * 5 // (3 * max(len(text), longest, 1))))
    strip = Image.new("RGB", (width, size * 3 // 2), (24, 24, 28))
    ImageDraw.Draw(strip).text((width / 2, size * 3 / 4), text, (255, 255, 255), ImageFont.load_default(size), anchor="mm")
    below = torch.from_numpy(np.asarray(strip, np.float32) / 255).to(panels.device).expand(batch, -1, -1, -1)
    return torch.cat([panels, below], dim=1)
