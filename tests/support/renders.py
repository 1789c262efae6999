"""Stand-ins for the renders that the scenes are composed of: a checkout does not have those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw

from scripts.scenes import objects

SIDE = 64


@contextmanager
def drawn_renders(folder: Path) -> Iterator[None]:
    """Scenes of red discs with a dark rim and a white spot; no two renders are of one size."""
    renders = [kind.render for kind in objects.KINDS.values()] + [render for render, _ in objects.ACCESSORIES.values()]
    for number, render in enumerate(renders):
        image = Image.new("RGBA", (SIDE, SIDE))
        brush = ImageDraw.Draw(image)
        edge = 4 + number % 5
        brush.ellipse((edge, edge, SIDE - edge, SIDE - edge), fill=(210, 40, 60, 255), outline=(60, 20, 20, 255))
        brush.ellipse((20, 20, 28, 28), fill=(255, 255, 255, 255))
        image.save(folder / f"{render}.webp", lossless=True)
    previous, objects.FOLDER = objects.FOLDER, folder
    _forget()
    try:
        yield
    finally:
        objects.FOLDER = previous
        _forget()


def _forget() -> None:
    for cached in (objects.load_render, objects.sprite):
        cached.cache_clear()
