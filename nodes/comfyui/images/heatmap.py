"""Maps and masks as pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

INFERNO = (
    "000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e 7d1e6d 89226a 962766 a32b61 af315c bb3755 "
    "c63e4d d14644 db4f3b e35932 eb6528 f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 f2e865 f3f586 fcffa4"
)
"""Every eighth colour of matplotlib's map of this name, by S. van der Walt and N. Smith (CC0): as even to the eye as they are even."""

TINT, EDGE, BEYOND = (1.0, 0.0, 0.55), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
"""Colours of a mask, of its edge and of what surrounds it; the two lines stand out on any picture."""
TINTED = 0.45


def colour(maps: Tensor) -> Tensor:
    """Maps in 0..1 as colours from black to bright yellow, [B, H, W] to [B, H, W, 3]."""
    anchors = torch.tensor([list(bytes.fromhex(code)) for code in INFERNO.split()], device=maps.device) / 255
    place = maps.float().clamp(0, 1) * (len(anchors) - 1)
    below = place.long().clamp(max=len(anchors) - 2)
    return torch.lerp(anchors[below], anchors[below + 1], (place - below)[..., None])


def overlay(pictures: Tensor, colours: Tensor, opacity: float) -> Tensor:
    """Colours over greyed pictures, both [B, H, W, 3] in 0..1; a batch of one picture serves all."""
    grey = pictures.mean(-1, keepdim=True).expand_as(pictures)
    return torch.lerp(torch.lerp(pictures, grey, opacity), colours, opacity)


def masks_over(pictures: Tensor, masks: Tensor) -> Tensor:
    """Masks as a tint with a white line within their edge and a black one around it, over pictures [B, H, W, 3] in 0..1.

    Args:
        masks: [B, H, W] in 0..1; where they are grey the tint is weaker.
    """
    inside = (masks > 0).float()
    width = max(1, round(min(masks.shape[1:]) / 160))
    tint, edge, beyond = (pictures.new_tensor(shade) for shade in (TINT, EDGE, BEYOND))
    drawn = torch.lerp(pictures, tint.expand_as(pictures), TINTED * masks[..., None])
    drawn = torch.where((inside * _grown(1 - inside, width)).bool()[..., None], edge, drawn)
    return torch.where(((1 - inside) * _grown(inside, width)).bool()[..., None], beyond, drawn)


def _grown(regions: Tensor, width: int) -> Tensor:
    """Regions of 1 in [B, H, W], wider by so many pixels on each side."""
    wider = F.max_pool2d(regions[:, None], (1, 2 * width + 1), 1, (0, width))
    return F.max_pool2d(wider, (2 * width + 1, 1), 1, (width, 0))[:, 0]
