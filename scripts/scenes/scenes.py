"""Scenes: up to three objects with contact shadows in a room, with captions and the true mask of each object and its shadow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from scripts.scenes.objects import ACCESSORIES, KINDS, TRAINED_OBJECTS, colours_of, is_held_out_pair, resize, sprite
from scripts.scenes.rooms import FLOORS, SIZE, WALLS, Room, draw_room, random_room

BASE_SIZES = {1: (100, 134), 2: (88, 112), 3: (70, 84)}
"""Range of an object's larger side in pixels, by how many there are."""
SHADOW_VISIBLE = 0.05
"""A pixel is in an object's shadow if it takes at least this share of the light."""


@dataclass(frozen=True)
class Item:
    """One object in a scene.

    Attributes:
        x: the middle of its foot in pixels.
        base: the row on which it stands.
        size: its larger side in pixels, without the accessory.
    """

    name: str
    colour: str | None
    accessory: str | None
    x: int
    base: int
    size: int
    flip: bool

    @property
    def phrase(self) -> str:
        return with_article(f"{self.colour} {self.name}" if self.colour else self.name)


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Layers:
    """What a scene is made of.

    Attributes:
        image: [SIZE, SIZE, 3] uint8.
        objects: visible share of each object, [items, SIZE, SIZE] float32.
        accessories: visible share of each object's accessory, the same shape.
        shadows: share of the light that each object takes from the floor, the same shape.
    """

    image: np.ndarray
    objects: np.ndarray
    accessories: np.ndarray
    shadows: np.ndarray

    @property
    def masks(self) -> np.ndarray:
        """The true region of each object, [items, SIZE, SIZE] bool."""
        return self.objects >= 0.5

    @property
    def shadow_masks(self) -> np.ndarray:
        """The true region of each object's shadow beside the objects, [items, SIZE, SIZE] bool."""
        return (self.shadows >= SHADOW_VISIBLE) & ~self.masks.any(0, keepdims=True)


@dataclass(frozen=True)
class Scene:
    """Objects in a room. The same scene always gives the same pixels."""

    items: tuple[Item, ...]
    room: Room

    def replaced(self, index: int, **changes: object) -> Scene:
        """The scene with another item at `index`."""
        items = list(self.items)
        items[index] = replace(items[index], **changes)  # type: ignore[arg-type]
        return replace(self, items=tuple(items))

    def draw(self) -> Layers:
        canvas = draw_room(self.room)
        if not self.items:
            nothing = np.zeros((0, SIZE, SIZE), np.float32)
            return Layers(_finish(canvas, self.room), nothing, nothing, nothing)
        order = sorted(range(len(self.items)), key=lambda i: self.items[i].base)
        placed = [place(item) for item in self.items]
        shadows = np.stack([cast_shadow(item, rgba[..., 3], self.room) for item, (rgba, _) in zip(self.items, placed, strict=True)])
        canvas = canvas * (1 - shadows).prod(0)[..., None]
        objects, accessories = np.zeros_like(shadows), np.zeros_like(shadows)
        for i in order:
            rgba, worn = placed[i]
            alpha = rgba[..., 3]
            objects *= 1 - alpha
            accessories *= 1 - alpha
            objects[i], accessories[i] = alpha, worn
            canvas = canvas * (1 - alpha[..., None]) + shade(rgba, self.room, self.items[i])
        return Layers(_finish(canvas, self.room), objects, accessories, shadows)


def _finish(canvas: np.ndarray, room: Room) -> np.ndarray:
    return (canvas * room.exposure).round().clip(0, 255).astype(np.uint8)


def place(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """The object on an empty canvas, [SIZE, SIZE, 4] premultiplied, and its accessory's alpha."""
    drawn = sprite(item.name, item.colour, item.accessory)
    left, top, right, bottom = drawn.box
    scale = item.size / max(right - left, bottom - top)
    height, width = (round(side * scale) for side in drawn.rgba.shape[:2])
    rgba, worn = resize(drawn.rgba, width, height), resize(drawn.accessory, width, height)
    middle = round((left + right) / 2 * scale)
    if item.flip:
        rgba, worn, middle = rgba[:, ::-1], worn[:, ::-1], width - middle
    # Bicubic resizing overshoots.
    rgba[..., :3], worn = np.minimum(rgba[..., :3], rgba[..., 3:]), np.minimum(worn, rgba[..., 3])
    x, y = item.x - middle, item.base - round(bottom * scale)
    canvas, mask = np.zeros((SIZE, SIZE, 4), np.float32), np.zeros((SIZE, SIZE), np.float32)
    rows, columns = slice(max(0, y), min(SIZE, y + height)), slice(max(0, x), min(SIZE, x + width))
    cut = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
    canvas[rows, columns], mask[rows, columns] = rgba[cut], worn[cut]
    return canvas, mask


def shade(rgba: np.ndarray, room: Room, item: Item) -> np.ndarray:
    """The object's colours under the room's light, 0..255: darker towards its foot and on the side away from the light."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    foot = 0.16 * np.exp(-(item.base - y).clip(0) / (0.10 * item.size))
    side = 0.10 * room.light * ((x - item.x) / item.size).clip(-0.6, 0.6)
    return rgba[..., :3] * 255 * (1 - foot + side)[..., None].clip(0, 1.1)


def cast_shadow(item: Item, alpha: np.ndarray, room: Room) -> np.ndarray:
    """Share of the light that the object takes from each pixel of the floor, [SIZE, SIZE] float32."""
    half = SIZE // 2
    silhouette = Image.fromarray((alpha * 255).astype(np.uint8)).resize((half, half), Image.Resampling.BOX)
    # The silhouette laid on the floor, away from the light and backwards: flatter, and sheared along the floor.
    base, flatter, shear = item.base / 2, 3.2, room.light * 1.5
    laid = silhouette.transform(
        (half, half), Image.Transform.AFFINE, (1, -shear, shear * base, 0, flatter, base * (1 - flatter)), Image.Resampling.BILINEAR
    )
    cast = np.asarray(laid.filter(ImageFilter.GaussianBlur(item.size * 0.028)), np.float32) / 255
    foot = alpha[max(0, item.base - max(3, round(0.10 * item.size))) : item.base].max(0, initial=0)
    columns = np.flatnonzero(foot > 0.3)
    left, right = (columns[0], columns[-1] + 1) if len(columns) else (item.x - 1, item.x + 1)
    y, x = np.mgrid[0:half, 0:half].astype(np.float32) * 2
    wide, high = 0.5 * (right - left) + 0.03 * item.size, 0.045 * item.size
    distance = np.hypot((x - (left + right) / 2) / wide, (y - item.base + 0.02 * item.size) / high)
    contact = 1 / (1 + np.exp((distance - 1) * 5))
    around = np.exp(-(np.hypot((x - (left + right) / 2) / (1.5 * wide), (y - item.base) / (2.6 * high)) ** 2))
    taken = 1 - (1 - 0.42 * cast) * (1 - 0.5 * contact) * (1 - 0.25 * around)
    taken *= 1 / (1 + np.exp(-(y - room.horizon - 6) / 4))  # nothing on the wall
    full = np.asarray(Image.fromarray(taken.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    return np.where(full < 0.004, 0, full)


def random_item(rng: np.random.Generator, name: str, x: int, base: int, size: float, trained: bool = True) -> Item:
    colours = colours_of(name, trained)
    colour = str(rng.choice(colours)) if colours else None
    accessory = str(rng.choice(list(ACCESSORIES))) if KINDS[name].eyes and rng.random() < 0.55 else None
    return Item(name, colour, accessory, x, base, round(size * KINDS[name].size), bool(rng.random() < 0.5))


def choose_names(rng: np.random.Generator, count: int, trained: bool = True) -> list[str]:
    """Different objects of which no two are a held-out pair, unless `trained` is false."""
    pool = list(TRAINED_OBJECTS if trained else KINDS)
    while True:
        names = [str(name) for name in rng.choice(pool, count, replace=False)]
        pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
        if not trained or not any(is_held_out_pair(a, b) for a, b in pairs):
            return names


def slots(rng: np.random.Generator, count: int, horizon: int) -> list[tuple[int, int, float]]:
    """Where `count` objects stand: x, base and size, from left to right, without touching."""
    if not count:
        return []
    size = rng.uniform(*BASE_SIZES[count])
    reach = size * 0.58  # the widest object's half
    gap = (SIZE - 2 * reach - 6) / max(1, count - 1)
    found = []
    for i in range(count):
        if count == 1:
            x = rng.uniform(reach + 4, SIZE - reach - 4)
        else:
            slack = max(0.0, gap - 2 * reach) / 2
            x = reach + 3 + i * gap + rng.uniform(-slack if i else 0, slack if i < count - 1 else 0)
        base = rng.uniform(max(horizon + 34, 1.2 * size + 8), 240)
        found.append((round(x), round(base), size * float(rng.uniform(0.94, 1.0))))
    return found


def random_scene(rng: np.random.Generator, count: int | None = None, trained: bool = True) -> Scene:
    """A scene of `count` objects, 1 to 3 by default; with nothing that is held out where `trained`."""
    if count is None:
        count = int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]))
    room = random_room(rng)
    names = choose_names(rng, count, trained)
    items = [
        random_item(rng, name, x, base, size, trained) for name, (x, base, size) in zip(names, slots(rng, count, room.horizon), strict=True)
    ]
    return Scene(tuple(items), room)


Target = tuple[str, int] | None
"""What words look at: ("object", index), ("accessory", index), ("floor", 0), ("wall", 0), or nothing."""


@dataclass(frozen=True)
class Caption:
    """A caption in pieces, each with what its words name."""

    pieces: tuple[tuple[str, Target], ...]

    @property
    def text(self) -> str:
        return "".join(words if words.startswith(",") or not i else f" {words}" for i, (words, _) in enumerate(self.pieces))


def describe(scene: Scene, index: int, coloured: bool = True, article: bool = True) -> list[tuple[str, Target]]:
    """The words of one object, and of its accessory."""
    item = scene.items[index]
    words = f"{item.colour} {item.name}" if item.colour and coloured else item.name
    pieces: list[tuple[str, Target]] = [(with_article(words) if article else words, ("object", index))]
    if item.accessory:
        pieces += [("with", None), (item.accessory, ("accessory", index))]
    return pieces


def full_caption(scene: Scene, floor: bool = True, wall: bool = False) -> Caption:
    """Every object from left to right, and the floor: "a red teapot and a camera on grass"; the floor alone where there is none."""
    order = sorted(range(len(scene.items)), key=lambda i: scene.items[i].x)
    return _join(scene, order, "and", floor, wall)


def _join(scene: Scene, order: list[int], word: str, floor: bool, wall: bool, coloured: bool = True) -> Caption:
    pieces: list[tuple[str, Target]] = []
    for number, index in enumerate(order):
        if number:
            pieces.append((word if number == len(order) - 1 else ",", None))
        pieces += describe(scene, index, coloured)
    if not order:
        pieces.append((FLOORS[scene.room.floor], ("floor", 0)))
    elif floor:
        pieces += [("on", None), (FLOORS[scene.room.floor], ("floor", 0))]
    if wall:
        relation, words = WALLS[scene.room.wall].split(" a ")
        pieces += [(relation, None), (f"a {words}", ("wall", 0))]
    return Caption(tuple(pieces))


def random_caption(scene: Scene, rng: np.random.Generator, only: list[int] | None = None) -> Caption:
    """One of several kinds of caption; sometimes it names only some objects, or leaves their colours out.

    Args:
        only: the objects that may be named; all by default.
    """
    order = [int(i) for i in rng.permutation(range(len(scene.items)) if only is None else only)]
    if len(order) > 1 and rng.random() < 0.15:
        order = order[:-1]
    coloured = bool(rng.random() < 0.85)
    floor, wall = bool(rng.random() < 0.6), bool(rng.random() < 0.2)
    kind = rng.choice(["and", "next to", "side", "photo", "tags"], p=[0.3, 0.2, 0.15, 0.15, 0.2])
    if kind == "tags":
        pieces: list[tuple[str, Target]] = []
        for index in order:
            pieces += ([(",", None)] if pieces else []) + describe(scene, index, coloured, article=False)
        if floor or not order:
            pieces += ([(",", None)] if pieces else []) + [(FLOORS[scene.room.floor].removeprefix("a "), ("floor", 0))]
        return Caption(tuple(pieces))
    if kind == "photo":
        return Caption((("a photo of", None), *_join(scene, order, "and", floor, wall, coloured).pieces))
    if kind == "side" and len(order) == 2:
        first, second = (scene.items[i] for i in order)
        return _join(scene, order, "to the left of" if first.x < second.x else "to the right of", floor, wall, coloured)
    return _join(scene, order, "next to" if kind == "next to" and len(order) == 2 else "and", floor, wall, coloured)
