"""What a heatmap's sheet answers under the pointer."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .panels import GAP

MOST_CELLS = 32  # along a side; a finer map would only make the message longer


def readings(words: Sequence[str], maps: Tensor, picture: Tensor, sheet: Tensor, columns: int) -> dict[str, Any]:
    """For web/heatmap.js: where the panels stand on the sheet, in its pixels, and the value in each cell of their maps.

    Args:
        maps: [B, words, h, w] in 0..1, as they are drawn.
        picture: [B, H, W, 3] a panel without its label; `sheet` [B, H', W', 3] all of them in rows of `columns`.
    """
    rows = -(-len(words) // columns)
    sides = maps.shape[-2:]
    scale = min(1.0, MOST_CELLS / max(sides))
    size = [max(1, round(side * scale)) for side in sides]
    cells = F.interpolate(maps.float(), size=size, mode="area")
    values = (cells.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return {
        "words": list(words),
        "columns": columns,
        "panel": [picture.shape[2], picture.shape[1]],
        "pitch": [picture.shape[2] + GAP, (sheet.shape[1] + GAP) / rows],
        "width": sheet.shape[2],
        "cells": [size[1], size[0]],
        "values": [[one.tobytes().hex() for one in image] for image in values],  # for each image of the batch and each word
    }
