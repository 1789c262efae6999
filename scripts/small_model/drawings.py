"""Pictures of a few coloured shapes on textured backgrounds, with captions and the true region of every object.

The small model is trained on these, and because a program draws them, masks and edits can be scored against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

SIZE = 256
"""Side of a picture in pixels."""

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 40),
    "green": (40, 160, 60),
    "blue": (34, 84, 214),
    "yellow": (242, 208, 40),
    "purple": (150, 52, 190),
    "white": (244, 244, 240),
}
SHAPES = ("circle", "square", "triangle")
RADIUS = (34, 50)
"""Smallest and largest half-width of an object in pixels."""

_SUPERSAMPLING = 3


@dataclass(frozen=True)
class Item:
    """One object: its words, its centre and its half-width in pixels."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float

    @property
    def phrase(self) -> str:
        return f"a {self.colour} {self.shape}"

    def recoloured(self, colour: str) -> Item:
        return replace(self, colour=colour)

    def reshaped(self, shape: str) -> Item:
        return replace(self, shape=shape)


@dataclass(frozen=True)
class Scene:
    """Objects on a background. The same seed and items always give the same pixels."""

    items: tuple[Item, ...]
    background_seed: int

    @property
    def caption(self) -> str:
        return " and ".join(item.phrase for item in self.items)

    def image(self) -> np.ndarray:
        """The picture, [H, W, 3] uint8."""
        canvas = background(self.background_seed)
        for item in self.items:
            alpha = coverage(item)[..., None]
            canvas = canvas * (1 - alpha) + np.array(PALETTE[item.colour], np.float32) * alpha
        return canvas.round().astype(np.uint8)

    def masks(self) -> np.ndarray:
        """The true region of each object, [items, H, W] bool."""
        return np.stack([coverage(item) >= 0.5 for item in self.items])


def coverage(item: Item) -> np.ndarray:
    """Share of each pixel that the object covers, [H, W] float32 in 0..1."""
    scale = _SUPERSAMPLING
    stencil = Image.new("L", (SIZE * scale, SIZE * scale))
    ImageDraw.Draw(stencil).polygon([(x * scale, y * scale) for x, y in outline(item)], fill=255)
    return np.asarray(stencil.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255


def outline(item: Item) -> list[tuple[float, float]]:
    """The object's outline as polygon corners in pixels. All shapes of one radius fill the same square but the circle's corners."""
    x, y, r = item.x, item.y, item.radius
    if item.shape == "square":
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if item.shape == "triangle":
        return [(x, y - r), (x + r, y + r), (x - r, y + r)]
    turns = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    return [(x + r * np.cos(a), y + r * np.sin(a)) for a in turns]


def cells(item: Item, side: int = 32) -> np.ndarray:
    """Share of each latent cell that the object covers, [side, side] float32; coarser than `coverage`, but fast."""
    fine = (np.arange(2 * side) + 0.5) * SIZE / (2 * side)
    x, y = (fine[None, :] - item.x) / item.radius, (fine[:, None] - item.y) / item.radius
    if item.shape == "circle":
        inside = x * x + y * y <= 1
    elif item.shape == "square":
        inside = np.maximum(abs(x), abs(y)) <= 1
    else:
        inside = (abs(y) <= 1) & (2 * abs(x) <= y + 1)
    return inside.reshape(side, 2, side, 2).mean((1, 3), dtype=np.float32)


def random_scene(rng: np.random.Generator, count: int) -> Scene:
    """A scene of `count` objects (0 to 2) that do not touch, of different colours."""
    colours = rng.permutation(list(PALETTE))[:count]
    while True:
        radii = rng.uniform(*RADIUS, size=count)
        centres = [rng.uniform(r + 8, SIZE - r - 8, size=2) for r in radii]
        if count < 2 or np.abs(centres[0] - centres[1]).max() > radii.sum() + 10:
            break
    items = tuple(
        Item(str(colour), str(rng.choice(SHAPES)), float(c[0]), float(c[1]), float(r))
        for colour, c, r in zip(colours, centres, radii, strict=True)
    )
    return Scene(items, int(rng.integers(2**31)))


def background(seed: int) -> np.ndarray:
    """A muted gradient with a faint texture, [H, W, 3] float32 in 0..255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    turn = rng.uniform(0, 2 * np.pi)
    ramp = ((np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)) + 0.7) / 1.4
    low, high = (_muted_colour(rng) for _ in range(2))
    canvas = low + (high - low) * ramp[..., None]
    return np.clip(canvas + _texture(rng, x, y)[..., None], 0, 255)


def _muted_colour(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(85, 165) + rng.uniform(-18, 18, size=3).astype(np.float32)


def _texture(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Stripes, a weave or soft clouds, [H, W] float32, a few grey levels strong."""
    kind = rng.integers(3)
    strength = rng.uniform(4, 11)
    if kind == 2:
        clouds = Image.fromarray(rng.uniform(-1, 1, size=(12, 12)).astype(np.float32), mode="F")
        return strength * 1.6 * np.asarray(clouds.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    turn, waves, phase = rng.uniform(0, np.pi), rng.uniform(4, 10), rng.uniform(0, 2 * np.pi, size=2)
    along = np.sin(2 * np.pi * waves * (np.cos(turn) * x + np.sin(turn) * y) + phase[0])
    if kind == 0:
        return strength * along
    across = np.sin(2 * np.pi * waves * (np.cos(turn) * y - np.sin(turn) * x) + phase[1])
    return strength * along * across


TWO_SHAPES = Scene((Item("red", "circle", 84, 100, 46), Item("blue", "square", 186, 168, 44)), background_seed=7)
"""What workflows/two_shapes.png shows: the example of the demo, the tests and the benchmarks."""
