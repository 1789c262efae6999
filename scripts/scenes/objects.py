"""The objects of the scenes: their words, their renders, their colours, and what is held out from training."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.scenes.fetch import sprites_folder

FOLDER: Path = sprites_folder()
"""Holds one RENDER.webp per object; tests put stand-ins here."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.87, 0.11, 0.13),
    "orange": (0.98, 0.47, 0.05),
    "yellow": (0.99, 0.80, 0.10),
    "green": (0.14, 0.62, 0.26),
    "blue": (0.13, 0.40, 0.92),
    "purple": (0.54, 0.24, 0.82),
    "white": (0.92, 0.92, 0.94),
}


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        render: the file's name.
        colours: the colours that it is painted in; none if it keeps its own.
        size: its larger side beside the others'.
        eyes: for a head, the height of the eyes and the width of glasses, in shares of the render.
        crown: for a head, where a hat's lower edge sits and how wide the hat is, in shares of the render.
    """

    render: str
    colours: tuple[str, ...] = ()
    size: float = 1.0
    eyes: tuple[float, float] | None = None
    crown: tuple[float, float] | None = None


_ALL = tuple(COLOURS)

KINDS: dict[str, Kind] = {
    # Painted in every colour.
    "teapot": Kind("teapot", _ALL),
    "bowl": Kind("bowl-with-spoon", _ALL, 0.95),
    "bucket": Kind("bucket", _ALL),
    "purse": Kind("purse", _ALL, 0.9),
    "backpack": Kind("backpack", _ALL, 1.05),
    "suitcase": Kind("luggage", _ALL, 1.15),
    "cap": Kind("billed-cap", _ALL, 0.9),
    "boot": Kind("womans-boot", _ALL),
    "high heel": Kind("high-heeled-shoe", _ALL, 0.95),
    "boxing glove": Kind("boxing-glove", _ALL),
    "telephone": Kind("telephone", _ALL),
    "toolbox": Kind("toolbox", _ALL),
    "car": Kind("automobile", _ALL, 1.15),
    "scooter": Kind("motor-scooter", _ALL, 1.15),
    "tulip": Kind("tulip", _ALL, 1.05),
    "dinosaur": Kind("sauropod", _ALL, 1.15),
    "apple": Kind("red-apple", ("red", "green", "yellow"), 0.85),
    "fire extinguisher": Kind("fire-extinguisher", ("red", "yellow", "blue", "green"), 1.1),
    # As they are.
    "camera": Kind("camera"),
    "pineapple": Kind("pineapple", size=1.1),
    "pear": Kind("pear", size=0.95),
    "carrot": Kind("carrot"),
    "hamburger": Kind("hamburger", size=0.95),
    "doughnut": Kind("doughnut", size=0.85),
    "cupcake": Kind("cupcake", size=0.95),
    "cake": Kind("birthday-cake"),
    "croissant": Kind("croissant", size=0.95),
    "cactus": Kind("cactus", size=1.1),
    "potted plant": Kind("potted-plant", size=1.1),
    "sunflower": Kind("sunflower", size=1.1),
    "soccer ball": Kind("soccer-ball", size=0.85),
    "basketball": Kind("basketball", size=0.9),
    "running shoe": Kind("running-shoe"),
    "alarm clock": Kind("alarm-clock", size=0.95),
    "trophy": Kind("trophy", size=1.05),
    "robot": Kind("robot", size=1.05),
    "teddy bear": Kind("teddy-bear", size=1.1),
    "duck": Kind("duck"),
    "penguin": Kind("penguin", size=1.05),
    "elephant": Kind("elephant", size=1.15),
    "turtle": Kind("turtle", size=0.95),
    "rabbit": Kind("rabbit", size=1.05),
    "honey pot": Kind("honey-pot", size=0.95),
    # Heads, which wear accessories.
    "boy": Kind("boy", size=1.05, eyes=(0.54, 0.72), crown=(0.24, 0.74)),
    "woman": Kind("woman", size=1.05, eyes=(0.53, 0.70), crown=(0.24, 0.74)),
    "bear": Kind("bear", size=1.0, eyes=(0.51, 0.64), crown=(0.30, 0.50)),
    "panda": Kind("panda", size=1.0, eyes=(0.51, 0.70), crown=(0.30, 0.50)),
    "fox": Kind("fox", size=1.05, eyes=(0.53, 0.62), crown=(0.33, 0.42)),
    # Held out: drawn in tests alone.
    "radio": Kind("radio"),
    "lemon": Kind("lemon", size=0.85),
    "drum": Kind("drum"),
    "owl": Kind("owl", size=1.05),
    "snail": Kind("snail", size=0.95),
    "gift": Kind("wrapped-gift"),
}

ACCESSORIES: dict[str, tuple[str, str]] = {
    "sunglasses": ("sunglasses", "eyes"),
    "a top hat": ("top-hat", "crown"),
    "a crown": ("crown", "crown"),
}
"""The words after "with", the render, and where a head wears it."""

HELD_OUT_OBJECTS = ("radio", "lemon", "drum", "owl", "snail", "gift")
HELD_OUT_COLOURS = ("orange",)
HELD_OUT_COMBINATIONS = (
    ("teapot", "purple"),
    ("backpack", "green"),
    ("car", "yellow"),
    ("suitcase", "white"),
    ("boot", "blue"),
    ("bucket", "red"),
)
"""Objects and colours of which each is trained, but never together."""
HELD_OUT_PAIRS = (
    ("camera", "pineapple"),
    ("teapot", "apple"),
    ("cactus", "teddy bear"),
    ("car", "suitcase"),
    ("duck", "cake"),
    ("robot", "penguin"),
)
"""Objects of which each is trained, but never both in one scene."""

TRAINED_OBJECTS = tuple(name for name in KINDS if name not in HELD_OUT_OBJECTS)


def colours_of(name: str, trained: bool = True) -> tuple[str, ...]:
    """The colours that an object may have; without those held out where `trained`."""
    colours = KINDS[name].colours
    if trained:
        colours = tuple(c for c in colours if c not in HELD_OUT_COLOURS and (name, c) not in HELD_OUT_COMBINATIONS)
    return colours


def is_held_out_pair(first: str, second: str) -> bool:
    return (first, second) in HELD_OUT_PAIRS or (second, first) in HELD_OUT_PAIRS


@dataclass(frozen=True)
class Sprite:
    """A render ready to be placed.

    Attributes:
        rgba: [h, w, 4] float32 in 0..1, colours premultiplied by alpha.
        accessory: [h, w] float32; the alpha of the accessory.
        box: left, top, right, bottom of the object without its accessory.
    """

    rgba: np.ndarray
    accessory: np.ndarray
    box: tuple[int, int, int, int]


@functools.cache
def load_render(render: str) -> np.ndarray:
    """[H, W, 4] float32 in 0..1, colours as they are in the file."""
    with Image.open(FOLDER / f"{render}.webp") as image:
        return np.asarray(image.convert("RGBA"), np.float32) / 255


@functools.cache
def sprite(name: str, colour: str | None, accessory: str | None) -> Sprite:
    kind = KINDS[name]
    rgba = load_render(kind.render)
    if colour is not None:
        rgba = recolour(rgba, COLOURS[colour])
    rgba = premultiply(rgba)
    height, width = rgba.shape[:2]
    above = height // 2  # room for a hat
    canvas = np.zeros((height + above, width, 4), np.float32)
    canvas[above:] = rgba
    rows, columns = np.flatnonzero((canvas[..., 3] > 0.1).any(1)), np.flatnonzero((canvas[..., 3] > 0.1).any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    worn = np.zeros(canvas.shape[:2], np.float32)
    if accessory is not None:
        layer = np.zeros_like(canvas)
        render, place = ACCESSORIES[accessory]
        y, share = getattr(kind, place)
        piece = trim(premultiply(load_render(render)))
        piece = resize(piece, round(share * width), round(share * width * piece.shape[0] / piece.shape[1]))
        left = (box[0] + box[2] - piece.shape[1]) // 2
        bottom = above + round(y * height) + (piece.shape[0] // 2 if place == "eyes" else 0)
        layer[bottom - piece.shape[0] : bottom, left : left + piece.shape[1]] = piece
        worn = layer[..., 3]
        canvas = canvas * (1 - worn[..., None]) + layer
    return Sprite(canvas, worn, box)


def premultiply(rgba: np.ndarray) -> np.ndarray:
    return np.concatenate((rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]), -1)


def trim(rgba: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero((rgba[..., 3] > 0.1).any(1)), np.flatnonzero((rgba[..., 3] > 0.1).any(0))
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """[h, w, channels] or [h, w] float32 to another size."""
    if image.ndim == 2:
        return resize(image[..., None], width, height)[..., 0]
    planes = [Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[-1])]
    return np.stack(
        [np.asarray(p.resize((max(1, width), max(1, height)), Image.Resampling.BICUBIC, reducing_gap=3)) for p in planes], -1
    ).clip(0, 1)


def recolour(rgba: np.ndarray, target: tuple[float, float, float]) -> np.ndarray:
    """Paints the part of a render that has its main hue in another colour and keeps the shading."""
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    high, low = rgb.max(-1), rgb.min(-1)
    saturation = (high - low) / np.maximum(high, 1e-3)
    # The hue as a point on a circle: no branch for each of the six sectors.
    u = rgb @ np.array([1, -0.5, -0.5], np.float32)
    v = rgb @ np.array([0, 0.75**0.5, -(0.75**0.5)], np.float32)
    length = np.maximum(np.hypot(u, v), 1e-4)
    weight = alpha * saturation * high
    turn = np.arctan2(v, u)
    bins = np.histogram(turn, 36, (-np.pi, np.pi), weights=weight)[0]
    smoothed = sum(np.roll(bins, shift) for shift in (-1, 0, 1))
    main = (smoothed.argmax() + 0.5) / 36 * 2 * np.pi - np.pi
    near = (u * np.cos(main) + v * np.sin(main)) / length
    paint = _smoothstep(near, 0.35, 0.75) * _smoothstep(saturation, 0.12, 0.35)
    luma = rgb @ np.array([0.35, 0.45, 0.20], np.float32)
    middle = (luma * weight * paint).sum() / max(1e-6, float((weight * paint).sum()))
    ratio = (luma / max(middle, 1e-3))[..., None]
    colour = np.array(target, np.float32)
    dark = colour * np.minimum(ratio, 1) ** 0.8
    light = colour + (1 - colour) * (1 - np.exp(-0.55 * np.maximum(ratio - 1, 0)))
    painted = np.where(ratio < 1, dark, light)
    return np.concatenate((rgb + (painted - rgb) * paint[..., None], rgba[..., 3:]), -1).astype(np.float32)


def _smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = ((x - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
