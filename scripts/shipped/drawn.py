"""The pictures that the workflows open: drawings, whose objects' true regions are known, and for large models a scene that looks like a photo.

make workflows    writes them beside the workflows
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from scripts.scenes.shown import CAR
from scripts.small_model.drawings import PALETTE, TWO_SHAPES, Item, Scene, background, outline

SCENES = {
    "two_shapes": TWO_SHAPES,
    "circle_and_triangle": Scene((Item("red", "circle", 176, 168, 46), Item("purple", "triangle", 76, 84, 44)), background_seed=5),
    "circle_and_square": Scene((Item("red", "circle", 78, 176, 48), Item("white", "square", 182, 84, 40)), background_seed=23),
}
"""What the small pictures show."""

LARGE_SIZE, LARGE_SCALE = (960, 640), 2.5
LARGE_ITEMS = (Item("red", "circle", 96, 116, 48), Item("blue", "square", 276, 146, 46))
"""In units of the small pictures, which the large one is scaled down to."""

_SUPERSAMPLING = 3


def large() -> Image.Image:
    """A picture larger than the checkpoint likes, and not square, with lines finer than the small one could show."""
    picture = Image.fromarray(background(7).round().astype(np.uint8)).resize(LARGE_SIZE, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for across in range(0, LARGE_SIZE[0], 16):
        draw.line([(across, 0), (across, LARGE_SIZE[1])], (150, 150, 150))
    for item in LARGE_ITEMS:
        picture.paste(PALETTE[item.colour], mask=stencil(item))
    return picture


def stencil(item: Item) -> Image.Image:
    """Where an object of the large picture is, in grey at its edge."""
    scale = _SUPERSAMPLING * LARGE_SCALE
    wide = Image.new("L", (LARGE_SIZE[0] * _SUPERSAMPLING, LARGE_SIZE[1] * _SUPERSAMPLING))
    ImageDraw.Draw(wide).polygon([(x * scale, y * scale) for x, y in outline(item)], fill=255)
    return wide.resize(LARGE_SIZE, Image.Resampling.BOX)


def pictures() -> dict[str, Image.Image]:
    """Every picture that the workflows open, by its file's name."""
    small = {f"{name}.png": Image.fromarray(scene.image()) for name, scene in SCENES.items()}
    return small | {"large_drawing.png": large(), CAR.photo_file.name: Image.open(CAR.photo_file)}
