"""Labeled images, alone and on a sheet, that are readable at any size."""

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont
from torch import Tensor
from torch.nn import functional as F

from .fonts import EM, find_font

GAP = 8  # pixels between the images of a sheet
MIN_PANEL_WIDTH = 256  # pixels that a label needs to be readable
MAX_SINGLE_ROW = 4  # images that stand in one row; more are laid out in several
MAX_LINES = 2  # lines that one line of a label is wrapped into; the rest is cut
LABEL_BACKGROUND, LABEL_COLOR = (24, 24, 28), (255, 255, 255)


def count_columns(count: int, height: int, width: int) -> int:
    """Columns of a sheet of `count` images: one row for few, else about a square."""
    if count <= MAX_SINGLE_ROW:
        return count
    rows = math.ceil(count / max(2, math.ceil(math.sqrt(count * height / width))))
    return math.ceil(count / rows)


def fit(images: Tensor, max_size: int = sys.maxsize, count: int = 1) -> Tensor:
    """Resizes images [B, H, W, 3] so that a sheet of `count` is at most about `max_size` pixels large and stays readable."""
    height, width = images.shape[1:3]
    columns = count_columns(count, height, width)
    max_side = max_size // max(columns, math.ceil(count / columns))
    factor = max(1, math.ceil(MIN_PANEL_WIDTH / width))  # whole, so that pixels stay sharp
    scale = min(factor, max(max_side / max(height, width), MIN_PANEL_WIDTH / width))
    if scale == 1:
        return images
    size = (max(1, round(height * scale)), round(width * scale))
    return F.interpolate(images.movedim(-1, 1), size, mode="area").movedim(1, -1)


def center_crop(images: Tensor, height: int, width: int, tolerance: int = 1) -> Tensor:
    """The middle height x width of images [B, H, W, 3], resized to cover it unless they are less than `tolerance` pixels larger."""
    h, w = images.shape[1:3]
    if not (0 <= h - height < tolerance and 0 <= w - width < tolerance):
        scale = max(height / h, width / w)
        h, w = round(scale * h), round(scale * w)
        images = F.interpolate(images.movedim(-1, 1), (h, w), mode="bilinear", antialias=True).movedim(1, -1)
    top, left = (h - height) // 2, (w - width) // 2
    return images[:, top : top + height, left : left + width]


def stack(images: Sequence[Tensor], columns: int) -> Tensor:
    """Images [B, H, W, 3] of one width in rows of `columns`, with white between them and below shorter ones."""
    height, width = max(image.shape[1] for image in images), images[0].shape[2]
    rows = math.ceil(len(images) / columns)
    sheet = images[0].new_ones(len(images[0]), rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    for index, image in enumerate(images):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[:, top : top + image.shape[1], left : left + width] = image
    return sheet


def contact_sheet(images: Sequence[Tensor], labels: Sequence[str], columns: int) -> Tensor:
    """Labeled images, each [B, H, W, 3] in 0..1 of one size, in rows of `columns`: [B, H', W', 3]."""
    return stack(add_labels(images, labels), columns)


def add_labels(images: Sequence[Tensor], labels: Sequence[str], columns: int = 1) -> list[Tensor]:
    """Each image [B, H, W, 3] of one width with its label on a dark strip below, all strips of one height and letter size.

    Narrow images are upscaled. Letters that no font here has become ?. The label of a sheet of `columns` is as large as those on it.
    """
    images = [fit(image) for image in images]
    width = images[0].shape[2]
    fonts, missing = zip(*map(find_font, labels), strict=True)
    texts = [label.translate(dict.fromkeys(map(ord, letters), "?")).split("\n") for label, letters in zip(labels, missing, strict=True)]
    # As large as the longest line allows, but never too small to read.
    longest = max(font.getlength(line) / EM for font, lines in zip(fonts, texts, strict=True) for line in lines)
    size = round(min(max(0.94 * width / max(longest, 1e-3), width / columns / 17), width / columns / 10))
    room = 0.96 * width / size * EM
    wrapped = [[part for line in lines for part in _wrap(line, font, room)] for font, lines in zip(fonts, texts, strict=True)]
    height = round(size * (1.25 * max(map(len, wrapped)) + 0.5))
    strips = [_draw_strip(lines, font.font_variant(size=size), height, width) for font, lines in zip(fonts, wrapped, strict=True)]
    return [torch.cat([image, strip.to(image).expand(len(image), -1, -1, -1)], 1) for image, strip in zip(images, strips, strict=True)]


def _wrap(text: str, font: FreeTypeFont, width: float, lines: int = MAX_LINES) -> list[str]:
    """At most so many lines of a text, each within `width` pixels, broken at spaces where possible."""
    text = text.strip()
    end = max(1, bisect_right(range(1, len(text) + 1), width, key=lambda end: font.getlength(text[:end])))
    if end >= len(text):
        return [text]
    if " " in text[: end + 1]:
        end = text.rindex(" ", 0, end + 1)
    line = text[:end].strip()
    return [line, *_wrap(text[end:], font, width, lines - 1)] if lines > 1 else [line[:-2].rstrip() + "..."]


def _draw_strip(lines: Sequence[str], font: FreeTypeFont, height: int, width: int) -> Tensor:
    strip = Image.new("RGB", (width, height), LABEL_BACKGROUND)
    spacing = 1.25 * font.size - font.getbbox("A")[3]  # Pillow adds the height of an A
    position = (width / 2, height / 2)
    ImageDraw.Draw(strip).multiline_text(position, "\n".join(lines), LABEL_COLOR, font, "mm", spacing, "center")
    return torch.from_numpy(np.array(strip, np.float32) / 255)
