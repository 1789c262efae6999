"""Edits of drawn pictures: what is asked of them, and where in the picture that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from scripts.small_model.drawings import PALETTE, SHAPES, SIZE, Item, Scene, coverage, random_scene

Kind = Literal["colour", "shape", "remove", "add", "two"]
KINDS: tuple[Kind, ...] = ("colour", "shape", "remove", "add", "two")
"""Another colour, another shape, an object less, an object more on an empty side, another colour for each of two objects."""

MARGIN = 12
"""Pixels that an object keeps from the side of the picture that counts as empty."""

SIDES: dict[str, tuple[slice, slice]] = {
    "left": (slice(None), slice(0, SIZE // 2)),
    "right": (slice(None), slice(SIZE // 2, SIZE)),
    "top": (slice(0, SIZE // 2), slice(None)),
    "bottom": (slice(SIZE // 2, SIZE), slice(None)),
}
"""Rows and columns of each half of a picture."""


@dataclass(frozen=True)
class Change:
    """One thing asked for: `before` becomes `after`. Nothing was there where `before` is None, and nothing shall be where `after` is.

    Attributes:
        side: the empty half that an added object may stand in; its place in `after` is only an example.
        written: of an added object: beside what is there.
    """

    before: Item | None
    after: Item | None
    side: str = ""
    written: tuple[str, str] | None = None

    @cached_property
    def region(self) -> np.ndarray:
        """Where the picture must change, [H, W] bool: the object as it is and as it shall be, or the empty half."""
        if self.side:
            region = np.zeros((SIZE, SIZE), bool)
            region[SIDES[self.side]] = True
            return region
        return np.logical_or.reduce([coverage(item) >= 0.5 for item in (self.before, self.after) if item is not None])


@dataclass(frozen=True)
class Edit:
    """A picture and the changes asked of it."""

    kind: Kind
    number: int
    scene: Scene
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number:03}"

    @cached_property
    def region(self) -> np.ndarray:
        """Where the picture may change, [H, W] bool."""
        return np.logical_or.reduce([change.region for change in self.changes])

    @property
    def photo(self) -> np.ndarray:
        return self.scene.image()

    @property
    def asked_photo(self) -> np.ndarray:
        return self.asked.image()

    @property
    def caption(self) -> str:
        return self.scene.caption

    @property
    def asked_caption(self) -> str:
        return self.asked.caption

    @property
    def others(self) -> tuple[Item, ...]:
        """The objects that must stay what they are."""
        changed = {change.before for change in self.changes}
        return tuple(item for item in self.scene.items if item not in changed)

    @property
    def asked(self) -> Scene:
        """The picture as it would be drawn after the edit."""
        become = {change.before: change.after for change in self.changes}
        items = [become.get(item, item) for item in self.scene.items] + [change.after for change in self.changes if change.before is None]
        return replace(self.scene, items=tuple(item for item in items if item is not None))

    @property
    def background(self) -> Scene:
        """The scene without the objects that change."""
        return replace(self.scene, items=self.others)


def make_edit(seed: int, kind: Kind, number: int) -> Edit:
    """The same edit for the same arguments, whatever else is made."""
    scene, changes = _MAKERS[kind](np.random.default_rng((seed, KINDS.index(kind), number)))
    return Edit(kind, number, scene, changes)


def _recolour(rng: np.random.Generator) -> tuple[Scene, tuple[Change, ...]]:
    scene = random_scene(rng, 2)
    item = _one_of(rng, scene.items)
    return scene, (Change(item, item.recoloured(_unused_colour(rng, scene.items))),)


def _reshape(rng: np.random.Generator) -> tuple[Scene, tuple[Change, ...]]:
    scene = random_scene(rng, 2)
    item = _one_of(rng, scene.items)
    return scene, (Change(item, item.reshaped(str(rng.choice([shape for shape in SHAPES if shape != item.shape])))),)


def _remove(rng: np.random.Generator) -> tuple[Scene, tuple[Change, ...]]:
    scene = random_scene(rng, 2)
    return scene, (Change(_one_of(rng, scene.items), None),)


def _add(rng: np.random.Generator) -> tuple[Scene, tuple[Change, ...]]:
    empty: list[str] = []
    while not empty:
        scene = random_scene(rng, 1)
        empty = [side for side in SIDES if _keeps_from(scene.items[0], side)]
    side = str(rng.choice(empty))
    rows, columns = SIDES[side]
    centre = (np.arange(SIZE)[columns].mean() + 0.5, np.arange(SIZE)[rows].mean() + 0.5)
    asked = Item(_unused_colour(rng, scene.items), str(rng.choice(SHAPES)), float(centre[0]), float(centre[1]), float(rng.uniform(38, 46)))
    return scene, (Change(None, asked, side, (f"-{scene.items[0].phrase}", asked.phrase)),)


def _recolour_both(rng: np.random.Generator) -> tuple[Scene, tuple[Change, ...]]:
    scene = random_scene(rng, 2)
    first = _unused_colour(rng, scene.items)
    second = _unused_colour(rng, (*scene.items, scene.items[0].recoloured(first)))
    return scene, tuple(Change(item, item.recoloured(colour)) for item, colour in zip(scene.items, (first, second), strict=True))


_MAKERS: dict[Kind, Callable[[np.random.Generator], tuple[Scene, tuple[Change, ...]]]] = {
    "colour": _recolour,
    "shape": _reshape,
    "remove": _remove,
    "add": _add,
    "two": _recolour_both,
}


def _one_of(rng: np.random.Generator, items: tuple[Item, ...]) -> Item:
    return items[rng.integers(len(items))]


def _unused_colour(rng: np.random.Generator, items: tuple[Item, ...]) -> str:
    used = {item.colour for item in items}
    return str(rng.choice([colour for colour in PALETTE if colour not in used]))


def _keeps_from(item: Item, side: str) -> bool:
    middle, reach = SIZE / 2, item.radius + MARGIN
    return {
        "left": item.x - reach >= middle,
        "right": item.x + reach <= middle,
        "top": item.y - reach >= middle,
        "bottom": item.y + reach <= middle,
    }[side]
