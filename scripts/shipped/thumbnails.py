"""The picture of a workflow in the template browser: what it makes of the photo, or for a large model what it is asked for."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from scripts.scenes.shown import CAR, FOLDER

from .drawn import pictures
from .graphs import LARGE, MANY, TWO_SHAPES
from .on_scenes import ON_SCENES
from .transformers import SCENE

SIZE, GAP, STRIP = 512, 6, 44
GROUND = (24, 24, 28)

BECOMES = (f"'{CAR.where}…'", "to", f"'{CAR.text}…'")
ADD_AND_REMOVE = (f"add: {CAR.text}", f"remove: {CAR.where}")
NOT_RUN: dict[str, tuple[str, tuple[str, ...]]] = {
    "flux": ("Flux.1 dev", BECOMES),
    "qwen_image": ("Qwen-Image", ADD_AND_REMOVE),
    "z_image_turbo": ("Z-Image-Turbo", BECOMES),
    "sd35": ("SD 3.5", ADD_AND_REMOVE),
}
"""Workflows of models that are too large to be run here: a title, and what they are asked for."""

Made = dict[int, list[Image.Image]]
"""Pictures of a run, by the node that shows them."""


def thumbnail(name: str, made: Made) -> Image.Image:
    """A square picture of a run's results."""
    photos = pictures()
    if name in NOT_RUN:
        return card(photos[SCENE], *NOT_RUN[name])
    photo, result = photos[TWO_SHAPES], made[11][0] if 11 in made else None
    if name in ON_SCENES:
        photo = Image.open(FOLDER / ON_SCENES[name]["LoadImage"]["image"])
    if name == "several_concepts":
        return grid([("before", photo), ("after", result), ("mask 1", made[13][0]), ("mask 2", made[13][1])])
    if name == "where_words_look":
        words = panels(made[22][0], 6)
        return grid([("boot", words[2]), ("cupcake", words[5]), ("mask", made[24][0]), ("mask", made[26][0])])
    if name == "inpaint_by_words":
        return grid([("before", photo), ("'sunflower'", made[25][0]), ("inpainted", result)])
    if name == "batch":
        return grid([("", photos[file]) for file in MANY] + [("", picture) for picture in made[11]], 3)
    if name == "sweep":
        return fitted(result)
    if name == "large_photo":
        return grid([("before", photos[LARGE]), ("after", result)], 1)
    return grid([("before", photo), ("after", result)])


def card(photo: Image.Image, title: str, lines: tuple[str, ...]) -> Image.Image:
    """A title, the photo, and lines below it."""
    made = Image.new("RGB", (SIZE, SIZE), GROUND)
    draw = ImageDraw.Draw(made)
    draw.text((SIZE // 2, 48), title, "white", ImageFont.load_default(52), anchor="mm")
    made.paste(photo, ((SIZE - photo.width) // 2, 100))
    for place, line in enumerate(lines):
        draw.text((SIZE // 2, 384 + place * 36 + (3 - len(lines)) * 18), line, "white", ImageFont.load_default(28), anchor="mm")
    return made


def panels(sheet: Image.Image, count: int, columns: int = 3, size: int = 256) -> list[Image.Image]:
    """A heatmap's panels, one by one, without what is between them."""
    rows = -(-count // columns)
    across, down = (sheet.width - size) / (columns - 1), (sheet.height + sheet.width - columns * size) / rows
    places = [(round(place % columns * across), round(place // columns * down)) for place in range(count)]
    return [sheet.crop((x, y, x + size, y + size)) for x, y in places]


def grid(cells: list[tuple[str, Image.Image]], columns: int = 2) -> Image.Image:
    """Labelled pictures in rows, as large as they fit."""
    rows = -(-len(cells) // columns)
    strip = STRIP if any(label for label, _ in cells) else 0
    widest = (SIZE - (columns - 1) * GAP) // columns
    first = cells[0][1]
    tallest = (SIZE - (rows - 1) * GAP) // rows - strip
    scale = min(widest / first.width, tallest / first.height)
    width, height = round(first.width * scale), round(first.height * scale)
    step = (width + GAP, height + strip + GAP)
    left, top = ((SIZE - count * each + GAP) // 2 for count, each in zip((columns, rows), step, strict=True))
    made = Image.new("RGB", (SIZE, SIZE), GROUND)
    for place, (label, picture) in enumerate(cells):
        row, column = divmod(place, columns)
        alone = row == rows - 1 and len(cells) % columns == 1 and columns > 1
        x = (SIZE - width) // 2 if alone else left + column * step[0]
        y = top + row * step[1]
        made.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (x, y))
        ImageDraw.Draw(made).text((x + width // 2, y + height + strip // 2), label, "white", ImageFont.load_default(26), anchor="mm")
    return made


def fitted(picture: Image.Image) -> Image.Image:
    made = Image.new("RGB", (SIZE, SIZE), GROUND)
    small = picture.copy()
    small.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    made.paste(small, ((SIZE - small.width) // 2, (SIZE - small.height) // 2))
    return made
