"""What a drawing shows: finds coloured regions and names their shape. Used to score the small model and edits made with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .drawings import PALETTE, SHAPES, Item, coverage

NEAR = 70
"""How far, in RGB, a pixel may be from a palette colour to count as painted with it."""
SMALLEST = 700
"""Fewest pixels of an object; the smallest that is drawn has 2,300."""


@dataclass(frozen=True)
class Seen:
    """One region of a palette colour."""

    colour: str
    shape: str
    region: np.ndarray


def nearest_colour(picture: np.ndarray) -> np.ndarray:
    """For each pixel the palette colour closest in RGB: [H, W, 3] uint8 to [H, W] indices into PALETTE."""
    return _distances(picture).argmin(0)


def look(picture: np.ndarray) -> list[Seen]:
    """The largest region of each palette colour that is big enough to be an object."""
    distances = _distances(picture)
    nearest = distances.argmin(0)
    found = []
    for index, colour in enumerate(PALETTE):
        painted = (nearest == index) & (distances[index] < NEAR)
        regions, count = ndimage.label(painted)
        if count:
            sizes = np.bincount(regions.ravel())[1:]
            if sizes.max() >= SMALLEST:
                region = ndimage.binary_fill_holes(regions == sizes.argmax() + 1)
                found.append(Seen(colour, shape_of(region), region))
    return found


def shape_of(region: np.ndarray) -> str:
    """The shape whose outline, stretched to the region's bounding box, overlaps it best."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    inside = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    overlaps = {}
    for shape, template in _TEMPLATES.items():
        stretched = np.asarray(Image.fromarray(template).resize(inside.shape[::-1])) > 127
        overlaps[shape] = (stretched & inside).sum() / (stretched | inside).sum()
    return max(overlaps, key=overlaps.__getitem__)


def _distances(picture: np.ndarray) -> np.ndarray:
    colours = np.array(list(PALETTE.values()), np.float32)
    return np.linalg.norm(picture.astype(np.float32)[None] - colours[:, None, None], axis=-1)


def _template(shape: str) -> np.ndarray:
    stencil = (coverage(Item("red", shape, 128, 128, 64)) * 255).astype(np.uint8)
    return stencil[64:192, 64:192]


_TEMPLATES = {shape: _template(shape) for shape in SHAPES}
