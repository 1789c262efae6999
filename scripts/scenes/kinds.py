"""Edits with known truth: what a scene shall be afterwards, which words say so, and which region may change."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scripts.scenes.objects import ACCESSORIES, KINDS, TRAINED_OBJECTS, colours_of, is_held_out_pair
from scripts.scenes.rooms import FLOORS, OUTDOORS, SIZE
from scripts.scenes.scenes import Item, Layers, Scene, full_caption, random_item, random_scene

SEED = 7


@dataclass(frozen=True)
class Edit:
    """One edit.

    Attributes:
        kind: one of `EDITS`.
        source: the scene before.
        target: the scene as it shall be; an item that is gone is missing from its items.
        remove: words to take away, for instance "a red teapot".
        add: words to bring in, for instance "a camera".
        changed: the items of `source` and of `target` that the edit is about.
    """

    kind: str
    source: Scene
    target: Scene
    remove: tuple[str, ...]
    add: tuple[str, ...]
    changed: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def source_prompt(self) -> str:
        return full_caption(self.source).text

    @property
    def target_prompt(self) -> str:
        return full_caption(self.target).text

    def truth(self) -> Truth:
        before, after = self.source.draw(), self.target.draw()
        if self.kind == "floor":
            below = np.arange(SIZE)[:, None] >= self.source.room.horizon
            regions = [below & ~before.masks.any(0)]
        elif self.kind == "accessory":
            regions = [(before.accessories >= 0.5).any(0) | (after.accessories >= 0.5).any(0)]
        elif self.kind == "add":
            regions = [self._empty_side()]
        else:
            regions = [
                np.logical_or.reduce([layers.masks[index] | layers.shadow_masks[index] for layers, index in pairs])
                for pairs in self._changed_layers(before, after)
            ]
        return Truth(before.image, after.image, tuple(regions))

    def _changed_layers(self, before: Layers, after: Layers) -> list[list[tuple[Layers, int]]]:
        """For each change what it looks like before and after."""
        sides = [[(layers, index) for index in indices] for layers, indices in zip((before, after), self.changed, strict=True)]
        return [[one for one in pair if one] for pair in itertools.zip_longest(*sides)]

    def _empty_side(self) -> np.ndarray:
        """Of the middle between the added object and the one that is there, the side on which it stands."""
        (index,) = self.changed[1]
        added, other = self.target.items[index].x, self.target.items[1 - index].x
        columns = np.arange(SIZE)[None].repeat(SIZE, 0)
        return np.sign(columns - (added + other) / 2) == np.sign(added - other)


@dataclass(frozen=True)
class Truth:
    """The image before, the image as it could be afterwards, and for each change the region that it may change, [SIZE, SIZE] bool."""

    before: np.ndarray
    after: np.ndarray
    regions: tuple[np.ndarray, ...]

    @property
    def region(self) -> np.ndarray:
        """Where the image may change."""
        return np.logical_or.reduce(self.regions)


def random_edit(kind: str, index: int, seed: int = SEED) -> Edit:
    """Edit `index` of a kind, made of nothing that is held out. The same numbers always give the same edit."""
    rng = np.random.default_rng((seed, list(EDITS).index(kind), index))
    while True:
        edit = EDITS[kind](rng)
        if edit is not None:
            return edit


def _other_item(rng: np.random.Generator, scene: Scene, index: int) -> Item:
    """Another object in the same place, which makes no held-out pair with the rest."""
    old = scene.items[index]
    others = [item.name for number, item in enumerate(scene.items) if number != index]
    names = [n for n in TRAINED_OBJECTS if n not in (old.name, *others) and not any(is_held_out_pair(n, o) for o in others)]
    item = random_item(rng, str(rng.choice(names)), old.x, old.base, old.size / KINDS[old.name].size)
    return replace(item, accessory=None)


def _other_colour(rng: np.random.Generator, item: Item) -> str:
    return str(rng.choice([colour for colour in colours_of(item.name) if colour != item.colour]))


def _coloured(scene: Scene) -> list[int]:
    return [index for index, item in enumerate(scene.items) if item.colour]


def _exchange(scene: Scene, index: int, item: Item) -> Scene:
    return replace(scene, items=(*scene.items[:index], item, *scene.items[index + 1 :]))


def _without(scene: Scene, index: int) -> Scene:
    return replace(scene, items=scene.items[:index] + scene.items[index + 1 :])


def _replace(rng: np.random.Generator) -> Edit:
    scene = random_scene(rng, int(rng.integers(1, 3)))
    index = int(rng.integers(len(scene.items)))
    item = _other_item(rng, scene, index)
    return Edit("replace", scene, _exchange(scene, index, item), (scene.items[index].phrase,), (item.phrase,), ((index,), (index,)))


def _recolour(rng: np.random.Generator) -> Edit | None:
    scene = random_scene(rng, int(rng.integers(1, 3)))
    if not _coloured(scene):
        return None
    index = int(rng.choice(_coloured(scene)))
    item = replace(scene.items[index], colour=_other_colour(rng, scene.items[index]))
    return Edit("recolour", scene, _exchange(scene, index, item), (scene.items[index].phrase,), (item.phrase,), ((index,), (index,)))


def _remove(rng: np.random.Generator) -> Edit:
    scene = random_scene(rng, int(rng.integers(2, 4)))
    index = int(rng.integers(len(scene.items)))
    return Edit("remove", scene, _without(scene, index), (scene.items[index].phrase,), (), ((index,), ()))


def _add(rng: np.random.Generator) -> Edit:
    scene = random_scene(rng, 2)
    index = int(rng.integers(2))
    return Edit("add", _without(scene, index), scene, (), (scene.items[index].phrase,), ((), (index,)))


def _floor(rng: np.random.Generator) -> Edit:
    scene = random_scene(rng, int(rng.integers(1, 3)))
    floors = [floor for floor in (OUTDOORS if scene.room.wall == "sky" else FLOORS) if floor != scene.room.floor]
    target = replace(scene, room=replace(scene.room, floor=str(rng.choice(floors))))
    return Edit("floor", scene, target, (FLOORS[scene.room.floor],), (FLOORS[target.room.floor],), ((), ()))


def _accessory(rng: np.random.Generator) -> Edit | None:
    scene = random_scene(rng, int(rng.integers(1, 3)))
    heads = [index for index, item in enumerate(scene.items) if KINDS[item.name].eyes]
    if not heads:
        return None
    index = int(rng.choice(heads))
    accessory = str(rng.choice(list(ACCESSORIES)))
    bare, worn = (scene.replaced(index, accessory=value) for value in (None, accessory))
    return Edit("accessory", bare, worn, (), (accessory,), ((index,), (index,)))


def _two(rng: np.random.Generator) -> Edit | None:
    scene = random_scene(rng, 2)
    if not _coloured(scene):
        return None
    first = int(rng.choice(_coloured(scene)))
    second = 1 - first
    target = _exchange(scene, first, replace(scene.items[first], colour=_other_colour(rng, scene.items[first])))
    target = _exchange(target, second, _other_item(rng, target, second))
    words = [tuple(part.items[index].phrase for index in (first, second)) for part in (scene, target)]
    return Edit("two", scene, target, words[0], words[1], ((first, second), (first, second)))


EDITS: dict[str, Callable[[np.random.Generator], Edit | None]] = {
    "replace": _replace,
    "recolour": _recolour,
    "remove": _remove,
    "add": _add,
    "floor": _floor,
    "accessory": _accessory,
    "two": _two,
}
"""The seven kinds of edit: replace, recolour, remove, add on the empty side, another floor, an accessory, two at once."""
