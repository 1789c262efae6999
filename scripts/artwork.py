"""`make artwork`: draws the pack's icon and banner for the registry, as files under artwork/.

The mark is what the pack does: one thing of a picture changes, between a before and an after, and ++ adds to it.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from scripts.paths import CHECKOUT

FOLDER = CHECKOUT / "artwork"
ICON, BANNER = (400, 400), (1680, 720)
"""The registry takes icons of at most 800x400 pixels, and banners of 21:9."""
FINER = 4
"""Everything is drawn this much larger and scaled down, for smooth edges."""
NIGHT, CARD, BEFORE, AFTER, LIGHT, QUIET = "#15171c", "#262a33", "#d93838", "#2fb457", "#f4f5f7", "#9aa1ad"


def plus(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: str) -> None:
    thick = size * 0.16
    draw.rounded_rectangle((x - size / 2, y - thick, x + size / 2, y + thick), thick / 2, colour)
    draw.rounded_rectangle((x - thick, y - size / 2, x + thick, y + size / 2), thick / 2, colour)


def mark(size: int) -> Image.Image:
    """A rounded card with a disc, red before and green after, and ++ at its side."""
    whole = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(whole)
    draw.rounded_rectangle((0, 0, size - 1, size - 1), size * 0.2, CARD)
    disc = (size * 0.13, size * 0.13, size * 0.75, size * 0.75)
    draw.ellipse(disc, BEFORE)
    after = Image.new("L", (size, size))
    ImageDraw.Draw(after).ellipse(disc, 255)
    # The change has come half way, along a slanted line.
    ImageDraw.Draw(after).polygon([(0, 0), (size * 0.53, 0), (size * 0.35, size), (0, size)], 0)
    whole.paste(AFTER, (0, 0), after)
    draw.line([(size * 0.53, 0), (size * 0.35, size)], CARD, round(size * 0.03))
    for grown, colour in ((0.24, CARD), (0.17, LIGHT)):
        for x in (0.63, 0.83):
            plus(draw, size * x, size * 0.74, size * grown, colour)
    return whole


def icon() -> Image.Image:
    return mark(ICON[0] * FINER).resize(ICON, Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    width, height = (side * FINER for side in BANNER)
    whole = Image.new("RGB", (width, height), NIGHT)
    size = round(height * 0.5)
    whole.paste(shape := mark(size), (round(width * 0.09), (height - size) // 2), shape)
    draw, left = ImageDraw.Draw(whole), width * 0.36
    draw.text((left * 0.976, height * 0.47), "LEDITS++", LIGHT, ImageFont.load_default(height * 0.24), anchor="ls")
    draw.text((left, height * 0.61), "Say what to change in a photo.", QUIET, ImageFont.load_default(height * 0.075), anchor="ls")
    draw.text((left, height * 0.71), "The rest stays.", QUIET, ImageFont.load_default(height * 0.075), anchor="ls")
    return whole.resize(BANNER, Image.Resampling.LANCZOS)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, picture in {"icon": icon(), "banner": banner()}.items():
        picture.save(FOLDER / f"{name}.png", optimize=True)
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
