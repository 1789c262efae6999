"""Labelled pictures, alone and on a sheet, that can be read at any size."""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

GAP = 8
"""Pixels between the pictures of a sheet."""
NARROWEST = 256
"""Pixels across a picture that leave room for a label."""
ROW = 4
"""Pictures that stand side by side before a sheet gets a second row."""
MOST_LINES = 2
"""Lines that one line of a label may take where it is too long; the rest is cut."""
GROUND, INK = (24, 24, 28), (255, 255, 255)
UNIT = 64
"""Size in which letters are measured."""
FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "meiryo.ttc",
    "malgun.ttf",
)
"""Fonts that computers have, for letters that Pillow's own lacks; it has little more than English ones."""


def columns_of(count: int, height: int, width: int) -> int:
    """Columns of a sheet of so many pictures: one row for few, else about as high as wide."""
    if count <= ROW:
        return count
    rows = math.ceil(count / max(2, math.ceil(math.sqrt(count * height / width))))
    return math.ceil(count / rows)


def fitted(pictures: Tensor, count: int, longest: int) -> Tensor:
    """Pictures [B, H, W, 3] in a size of which a sheet of so many is readable, and no side of it much longer than `longest`."""
    height, width = pictures.shape[1:3]
    columns = columns_of(count, height, width)
    rows = math.ceil(count / columns)
    return reduced(enlarged(pictures), longest // max(rows, columns))


def covering(pictures: Tensor, height: int, width: int, spare: int = 1) -> Tensor:
    """The middle height x width of pictures [B, H, W, 3], which are resized to cover it unless they are less than `spare` pixels larger."""
    rows, columns = pictures.shape[1:3]
    if not (height <= rows < height + spare and width <= columns < width + spare):
        scale = max(height / rows, width / columns)
        rows, columns = max(height, round(scale * rows)), max(width, round(scale * columns))
        pictures = F.interpolate(pictures.movedim(-1, 1), size=(rows, columns), mode="bilinear", antialias=True).movedim(1, -1)
    top, left = (rows - height) // 2, (columns - width) // 2
    return pictures[:, top : top + height, left : left + width]


def enlarged(pictures: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] at least NARROWEST wide, their pixels whole."""
    times = math.ceil(NARROWEST / pictures.shape[2])
    return pictures.repeat_interleave(times, 1).repeat_interleave(times, 2) if times > 1 else pictures


def reduced(pictures: Tensor, longest: int) -> Tensor:
    """Pictures [B, H, W, 3] with no side longer, unless that made them narrower than NARROWEST."""
    height, width = pictures.shape[1:3]
    scale = max(longest / max(height, width), NARROWEST / width)
    if scale >= 1:
        return pictures
    size = (max(1, round(height * scale)), round(width * scale))
    return F.interpolate(pictures.movedim(-1, 1), size=size, mode="area").movedim(1, -1)


def contact_sheet(pictures: Sequence[Tensor], labels: Sequence[str], columns: int) -> Tensor:
    """Labelled pictures in rows of so many columns, [B, H', W', 3].

    Args:
        pictures: each [B, H, W, 3] in 0..1, all of one size.
    """
    return side_by_side(labelled(pictures, labels), columns)


def side_by_side(pictures: Sequence[Tensor], columns: int) -> Tensor:
    """Pictures [B, H, W, 3] of one width in rows of so many columns, with white between them and below shorter ones."""
    tallest = max(picture.shape[1] for picture in pictures)
    cells = [F.pad(picture, (0, 0, 0, 0, 0, tallest - picture.shape[1]), value=1.0) for picture in pictures]
    cells += [torch.ones_like(cells[0])] * (-len(cells) % columns)
    return _apart([_apart(cells[start : start + columns], 2) for start in range(0, len(cells), columns)], 1)


def labelled(pictures: Sequence[Tensor], labels: Sequence[str], columns: int = 1) -> list[Tensor]:
    """Each picture with its label on a dark strip below, all letters of one size and all strips of one height.

    Args:
        pictures: each [B, H, W, 3] in 0..1, all of one size; narrow ones are enlarged.
        labels: may have several lines; letters that no font here has are drawn as ?.
        columns: of pictures of which each is a sheet already; its label is as large as theirs.
    """
    pictures = [enlarged(picture) for picture in pictures]
    width = pictures[0].shape[2]
    texts = [_drawable(label) for label in labels]
    size = _letter_size(texts, width, columns)
    wrapped = [_wrapped(text, size, width) for text in texts]
    height = round(size * (1.25 * max(map(len, wrapped)) + 0.5))
    strips = [_strip(lines, text, size, height, width) for lines, text in zip(wrapped, texts, strict=True)]
    return [
        torch.cat([picture, strip.to(picture).expand(len(picture), -1, -1, -1)], 1) for picture, strip in zip(pictures, strips, strict=True)
    ]


def undrawable(texts: Sequence[str]) -> str:
    """The letters of these texts that no font here has, each once."""
    return "".join(dict.fromkeys(letter for text in texts for letter in _missing(_font_for(text), text)))


def _apart(parts: Sequence[Tensor], side: int) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    gap = list(parts[0].shape)
    gap[side] = GAP
    between = parts[0].new_ones(gap)
    return torch.cat([piece for part in parts for piece in (between, part)][1:], side)


def _strip(lines: Sequence[str], text: str, size: int, height: int, width: int) -> Tensor:
    made = Image.new("RGB", (width, height), GROUND)
    draw, font = ImageDraw.Draw(made), _font_for(text).font_variant(size=size)
    for number, line in enumerate(lines):
        middle = height / 2 + 1.25 * size * (number - (len(lines) - 1) / 2)
        draw.text((width / 2, middle), line, INK, font, anchor="mm")
    return torch.from_numpy(np.array(made, np.float32) / 255)[None]


def _letter_size(texts: Sequence[str], width: int, columns: int) -> int:
    """As large as the longest line allows, but never too small to read."""
    longest = max(_length(line, _font_for(text)) for text in texts for line in text.split("\n"))
    return round(min(max(0.94 * width / max(longest, 1e-3), width / columns / 17), width / columns / 10))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """The lines of a text that fit into the width."""
    font, room = _font_for(text), 0.96 * width / size
    return [line for whole in text.split("\n") for line in _lines(whole, font, room)]


def _lines(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    lines: list[str] = []
    rest = text.strip()
    while rest and len(lines) < MOST_LINES:
        fits = max(1, bisect_right(range(1, len(rest) + 1), room, key=lambda end: _length(rest[:end], font)))
        if fits < len(rest) and " " in rest[: fits + 1].strip():
            fits = rest.rindex(" ", 0, fits + 1)
        lines.append(rest[:fits].strip())
        rest = rest[fits:].strip()
    if rest:
        lines[-1] = lines[-1][:-2].rstrip() + "..."
    return lines or [""]


def _length(text: str, font: ImageFont.FreeTypeFont) -> float:
    """How long a text is, in sizes of its letters."""
    return font.getlength(text) / UNIT


def _drawable(text: str) -> str:
    missing = _missing(_font_for(text), text)
    return "".join("?" if letter in missing else letter for letter in text)


@functools.lru_cache(512)
def _font_for(text: str) -> ImageFont.FreeTypeFont:
    """The first font that has all letters of a text, or else the one that lacks the fewest."""
    best = _font("")
    assert best is not None, "Pillow brings a font"
    for name in FONTS:
        if not _missing(best, text):
            break
        other = _font(name)
        if other is not None and len(_missing(other, text)) < len(_missing(best, text)):
            best = other
    return best


@functools.cache
def _font(name: str) -> ImageFont.FreeTypeFont | None:
    """A font of the computer, or Pillow's own for ""; None where there is no such."""
    try:
        found = ImageFont.truetype(name, UNIT) if name else ImageFont.load_default(UNIT)
    except OSError:
        return None
    return found if isinstance(found, ImageFont.FreeTypeFont) else None


def _missing(font: ImageFont.FreeTypeFont, text: str) -> list[str]:
    return [letter for letter in dict.fromkeys(text) if not letter.isspace() and _lacks(font, letter)]


@functools.lru_cache(4096)
def _lacks(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether a font draws for a letter what it draws for one that no font has."""
    return bytes(font.getmask(letter)) == bytes(font.getmask("\U0010ffff"))
