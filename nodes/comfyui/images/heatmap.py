"""Heatmaps and masks over images; all values in 0..1."""

import torch
from torch import Tensor

from ....ledits.masks import dilate

INFERNO = (
    "000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e 7d1e6d 89226a 962766 a32b61 af315c bb3755 "
    "c63e4d d14644 db4f3b e35932 eb6528 f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 f2e865 f3f586 fcffa4"
)
"""Every eighth color of matplotlib's colormap of this name, by S. van der Walt and N. Smith (CC0): perceptually uniform."""
MASK_COLOR, INNER_LINE, OUTER_LINE = (1.0, 0.0, 0.55), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)  # white and black stand out on any image
MASK_OPACITY = 0.45


def apply_colormap(maps: Tensor) -> Tensor:
    """Colors from black to bright yellow, [B, H, W] to [B, H, W, 3]."""
    colors = torch.tensor([list(bytes.fromhex(code)) for code in INFERNO.split()], device=maps.device) / 255
    position = maps.float().clamp(0, 1) * (len(colors) - 1)
    index = position.long().clamp(max=len(colors) - 2)
    return torch.lerp(colors[index], colors[index + 1], (position - index)[..., None])


def overlay(images: Tensor, colors: Tensor, opacity: float) -> Tensor:
    """Colors over grayed images, both [B, H, W, 3]; one image serves for a batch of colors."""
    gray = images.mean(-1, keepdim=True).expand_as(images)
    return torch.lerp(torch.lerp(images, gray, opacity), colors, opacity)


def draw_masks(images: Tensor, masks: Tensor) -> Tensor:
    """Tints the masks [B, H, W] over images [B, H, W, 3], half-set ones less, with a white line inside their edge and a black one outside."""
    inside = (masks > 0).float()
    outside = 1 - inside
    width = max(1, round(min(masks.shape[1:]) / 160))
    color, inner, outer = map(images.new_tensor, (MASK_COLOR, INNER_LINE, OUTER_LINE))
    drawn = torch.lerp(images, color.expand_as(images), MASK_OPACITY * masks[..., None])
    drawn[(inside * dilate(outside, width)).bool()] = inner
    drawn[(outside * dilate(inside, width)).bool()] = outer
    return drawn
