"""Floors and walls: soft procedural textures in perspective, lit from one side."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

SIZE = 256
"""Side of a scene in pixels."""

FLOORS: dict[str, str] = {
    "wood": "a wooden table",
    "grass": "grass",
    "sand": "sand",
    "marble": "a marble counter",
    "snow": "snow",
    "tiles": "a tiled floor",
}
"""Each floor's words after "on"."""
WALLS: dict[str, str] = {
    "white": "in front of a white wall",
    "grey": "in front of a grey wall",
    "blue": "in front of a blue wall",
    "pink": "in front of a pink wall",
    "green": "in front of a green wall",
    "sky": "under a blue sky",
}
OUTDOORS = ("grass", "sand", "snow")

_WALL_COLOURS = {
    "white": (238, 236, 232),
    "grey": (172, 174, 180),
    "blue": (150, 186, 222),
    "pink": (240, 188, 196),
    "green": (168, 206, 176),
    "sky": (146, 196, 240),
}


@dataclass(frozen=True)
class Room:
    """Floor, wall and light.

    Attributes:
        horizon: the row where the floor meets the wall.
        light: where the light comes from, -1 (left) to 1 (right).
        exposure: a factor on every pixel.
        seed: of the textures' offsets and tints.
    """

    floor: str
    wall: str
    horizon: int
    light: float
    exposure: float
    seed: int


def random_room(rng: np.random.Generator, floor: str | None = None) -> Room:
    floor = floor or str(rng.choice(list(FLOORS)))
    indoors = [wall for wall in WALLS if wall != "sky"]
    outside = floor in OUTDOORS and rng.random() < 0.6
    wall = "sky" if outside else str(rng.choice(indoors))
    light = float(rng.choice([-1, 1]) * rng.uniform(0.3, 1))
    return Room(floor, wall, int(rng.integers(92, 132)), light, float(rng.uniform(0.93, 1.05)), int(rng.integers(2**31)))


def draw_room(room: Room) -> np.ndarray:
    """The empty room, [SIZE, SIZE, 3] float32 in 0..255, before its exposure."""
    rng = np.random.default_rng(room.seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    tint = rng.uniform(-5, 5, 3).astype(np.float32)
    wall = _draw_wall(room, rng, x, y) + tint
    t = ((y - room.horizon) / (SIZE - room.horizon)).clip(0, 1)
    depth = 1 / (t + 0.45)
    across = (x / SIZE - 0.5) * depth
    near = (t + 0.25).clip(0, 1)[..., None]  # texture fades with distance
    floor = _FLOORS[room.floor](rng, across, depth, near) + tint
    floor = floor * (0.97 + 0.06 * t[..., None])
    soft = 1.2 if room.wall == "sky" or room.floor in ("wood", "tiles", "marble") else 5.0
    meets = (0.5 + 0.5 * np.tanh((y - room.horizon) / (2 * soft)))[..., None]
    image = wall * (1 - meets) + floor * meets
    # The floor is darker where it meets the wall, and the light falls off from its side and towards the corners.
    crease = 0 if room.wall == "sky" else 0.10 * np.exp(-np.abs(y - room.horizon) / 12)
    side = room.light * (x / SIZE - 0.5)
    corners = ((x / SIZE - 0.5) ** 2 + (y / SIZE - 0.5) ** 2) * 0.28
    return image * (1.02 - crease + 0.14 * side - corners)[..., None]


@functools.cache
def _noise(cells: int, blur: float) -> np.ndarray:
    """Periodic noise, [512, 512] float32 with zero mean and unit deviation."""
    rng = np.random.default_rng((cells, 5))
    coarse = rng.normal(size=(cells, cells)).astype(np.float32)
    wide = np.tile(coarse, (3, 3))
    image = Image.fromarray(wide).resize((1536, 1536), Image.Resampling.BICUBIC)
    if blur:
        image = Image.fromarray(_to_bytes(np.asarray(image))).filter(ImageFilter.GaussianBlur(blur))
    field = np.asarray(image, np.float32)[512:1024, 512:1024]
    return (field - field.mean()) / field.std()


def _to_bytes(field: np.ndarray) -> np.ndarray:
    return ((field - field.min()) / np.ptp(field) * 255).astype(np.uint8)


def _sample(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, cells: int = 64, blur: float = 0) -> np.ndarray:
    """The noise at these coordinates, of which one unit is one period, [H, W, 1]; bilinear."""
    field = _noise(cells, blur)
    u, v = (u + rng.random()) * 512, (v + rng.random()) * 512
    iu, iv = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    fu, fv = u - iu, v - iv
    a, b, c, d = iu & 511, (iu + 1) & 511, iv & 511, (iv + 1) & 511
    top = field[c, a] * (1 - fu) + field[c, b] * fu
    return ((top * (1 - fv)) + (field[d, a] * (1 - fu) + field[d, b] * fu) * fv)[..., None]


def _draw_wall(room: Room, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    colour = np.array(_WALL_COLOURS[room.wall], np.float32)
    height = (y / room.horizon).clip(0, 1)[..., None]
    if room.wall == "sky":
        sky = colour * (0.88 + 0.12 * height) + np.array([60, 36, 10], np.float32) * height**2
        clouds = _sample(rng, x / SIZE * 0.25, y / SIZE * 0.5, 24, 6)
        return sky + (248 - sky) * (0.45 * ((clouds - 0.3) / 1.5).clip(0, 1))
    return colour * (0.97 + 0.05 * height) + 1.2 * _sample(rng, x / SIZE * 0.3, y / SIZE * 0.3, 24, 4)


def _wood(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    base = np.array([182, 128, 82], np.float32) * rng.uniform(0.88, 1.12)
    boards = u * rng.uniform(3.5, 5) + rng.random()
    index = np.floor(boards).astype(np.int32)
    tones = rng.uniform(-0.07, 0.07, 64).astype(np.float32)
    seam = np.abs(boards - index - 0.5) > 0.5 - 0.018 * v.clip(0.6, 2)
    grain = _sample(rng, u * 1.6 + index * 0.37, v * 0.10 + index * 0.61, 64)
    fine = _sample(rng, u * 5, v * 0.25 + index * 0.21, 64)
    return base * (1 + tones[index & 63][..., None] + near * (0.055 * grain + 0.025 * fine) - 0.22 * near * seam[..., None])


def _grass(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    base = np.array([104, 158, 62], np.float32) * rng.uniform(0.9, 1.1)
    patches = _sample(rng, u * 0.35, v * 0.35, 24, 3)
    blades = _sample(rng, u * 3.2, v * 1.5, 64)
    return base * (1 + 0.06 * patches + 0.065 * near**1.5 * blades) + near * blades * np.array([2, 1, -1], np.float32)


def _sand(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    base = np.array([226, 198, 150], np.float32) * rng.uniform(0.93, 1.05)
    bend = _sample(rng, u * 0.3, v * 0.3, 24, 3)
    ripples = np.sin(26 * v[..., None] + 3.5 * bend + 2 * u[..., None])
    return base * (1 + 0.03 * bend + near * (0.022 * ripples + 0.022 * _sample(rng, u * 4, v * 4, 64)))


def _marble(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    base = np.array([232, 230, 228], np.float32) * rng.uniform(0.93, 1.03)
    warp = 0.6 * _sample(rng, u * 0.6, v * 0.6, 24, 3)
    slant = rng.uniform(0.6, 1.4)
    field = np.sin(2.6 * (u * slant + v * 1.3)[..., None] + 2.2 * _sample(rng, u * 0.22, v * 0.22, 12, 6) + warp + rng.uniform(0, 6))
    veins = np.exp(-((field / 0.24) ** 2))
    return base * (1 - 0.03 * _sample(rng, u * 0.3, v * 0.3, 12, 6) - (0.5 + 0.5 * near) * 0.10 * veins)


def _snow(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    base = np.array([232, 239, 248], np.float32) * rng.uniform(0.95, 1.03)
    drifts = _sample(rng, u * 0.3, v * 0.45, 24, 4)
    return base + (5 * drifts + 2.5 * near * _sample(rng, u * 4, v * 4, 64)) * np.array([1.2, 1, 0.6], np.float32)


def _tiles(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, near: np.ndarray) -> np.ndarray:
    light, dark = (np.array(c, np.float32) * rng.uniform(0.95, 1.05) for c in ((214, 222, 222), (112, 146, 156)))
    scale = rng.uniform(2.6, 3.4)
    a, b = u * scale + rng.random(), v * scale + rng.random()
    # Edges as wide as a pixel is at that distance, so that far tiles do not flicker.
    width = np.maximum(0.012 * v, 0.008)
    across, along = (np.tanh(np.sin(np.pi * c) / np.pi / (w * scale)) for c, w in ((a, width), (b, width * (0.5 + v))))
    checker = (0.5 + 0.5 * across * along)[..., None]
    return dark + (light - dark) * (0.5 + (checker - 0.5) * (0.55 + 0.45 * near)) + 1.5 * _sample(rng, u, v, 24, 2)


_FLOORS = {"wood": _wood, "grass": _grass, "sand": _sand, "marble": _marble, "snow": _snow, "tiles": _tiles}
