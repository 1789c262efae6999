"""Edits of the scenes: what is asked of them, and where in the picture that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from scripts.scenes import kinds
from scripts.scenes.rooms import FLOORS
from scripts.scenes.scenes import Item

KINDS = tuple(kinds.EDITS)


@dataclass(frozen=True)
class Words:
    """Something that is no object: a floor, an accessory."""

    phrase: str


@dataclass(frozen=True)
class Change:
    """One thing asked for: `before` becomes `after`. Nothing was there where `before` is None, and nothing shall be where `after` is."""

    before: Item | Words | None
    after: Item | Words | None
    region: np.ndarray = field(compare=False, repr=False)
    written: tuple[str, str] | None = None


@dataclass(frozen=True)
class Edit:
    """A scene and the changes asked of it."""

    number: int
    scene: kinds.Edit

    @property
    def kind(self) -> str:
        return self.scene.kind

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number:03}"

    @cached_property
    def _truth(self) -> kinds.Truth:
        return self.scene.truth()

    @property
    def photo(self) -> np.ndarray:
        return self._truth.before

    @property
    def asked_photo(self) -> np.ndarray:
        return self._truth.after

    @property
    def region(self) -> np.ndarray:
        """Where the picture may change, [H, W] bool."""
        return self._truth.region

    @property
    def caption(self) -> str:
        return self.scene.source_prompt

    @property
    def asked_caption(self) -> str:
        return self.scene.target_prompt

    @property
    def changes(self) -> tuple[Change, ...]:
        source, target = self.scene.source, self.scene.target
        if self.kind == "floor":
            return (Change(Words(FLOORS[source.room.floor]), Words(FLOORS[target.room.floor]), self.region),)
        if self.kind == "accessory":
            head = source.items[self.scene.changed[0][0]].phrase
            return (Change(None, Words(self.scene.add[0]), self.region, (head, f"{head} with {self.scene.add[0]}")),)
        gone, come = self.scene.changed
        before = [source.items[index] for index in gone] or [None] * len(come)
        after = [target.items[index] for index in come] or [None] * len(gone)
        # Of a thing that goes or comes: what the scene shows then, in the place of the thing, or anywhere but on what is there.
        place = {"remove": self.scene.remove, "add": [f"-{item.phrase}" for item in source.items]}.get(self.kind)
        written = (place[0], self.asked_caption) if place else None
        return tuple(Change(*pair, region, written) for *pair, region in zip(before, after, self._truth.regions, strict=True))

    @property
    def others(self) -> tuple[Item, ...]:
        """The objects that must stay what they are."""
        return tuple(item for index, item in enumerate(self.scene.source.items) if index not in self.scene.changed[0])


def make_edit(seed: int, kind: str, number: int) -> Edit:
    """The same edit for the same arguments, whatever else is made."""
    return Edit(number, kinds.random_edit(kind, number, seed))
