"""Fonts for texts in any language."""

import functools

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

EM = 64  # size in pixels at which fonts are loaded and texts measured
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc"),
    *("wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "msyh.ttc", "simhei.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc"),
    *("meiryo.ttc", "malgun.ttf"),
)
"""Common fonts of Linux, Windows and macOS: Pillow's own has few letters beyond the English ones."""


def find_font(text: str) -> tuple[FreeTypeFont, str]:
    """The first font with the fewest letters of a text missing, and those letters."""
    font = _load("")
    assert font is not None, "Pillow brings a font"
    missing = _find_missing(font, text)
    for name in SYSTEM_FONTS:
        if missing and (other := _load(name)) and len(fewer := _find_missing(other, text)) < len(missing):
            font, missing = other, fewer
    return font, missing


@functools.cache
def _load(name: str) -> FreeTypeFont | None:
    """A font of the system, or Pillow's own for ""; None if it is not installed."""
    try:
        font = ImageFont.truetype(name, EM) if name else ImageFont.load_default(EM)
    except OSError:
        return None
    return font if isinstance(font, FreeTypeFont) else None


@functools.lru_cache(512)
def _find_missing(font: FreeTypeFont, text: str) -> str:
    """The letters of a text that the font draws as its missing-glyph box, each once."""
    box = bytes(font.getmask("\U0010ffff"))
    return "".join(letter for letter in dict.fromkeys(text) if not letter.isspace() and bytes(font.getmask(letter)) == box)
