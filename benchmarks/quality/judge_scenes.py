"""Scenes, judged by the classifier that was trained on them."""

from __future__ import annotations

import functools

import numpy as np

from scripts.paths import SCENES_CLASSIFIER
from scripts.scenes.classifier import CELLS, Classifier, Seen, load_classifier, look
from scripts.scenes.rooms import SIZE
from scripts.scenes.scenes import Item, place

from .scenes import Change, Edit
from .verdict import Verdict

INSIDE = 1 / 2
"""Share of an object's cells that must lie where it was asked for."""


@functools.cache
def classifier() -> Classifier:
    return load_classifier(SCENES_CLASSIFIER)


def judge(edit: Edit, picture: np.ndarray) -> Verdict:
    """Looks at an edited picture, [H, W, 3] uint8."""
    ((objects, floor),) = look(classifier(), picture[None])
    if edit.kind == "floor":
        happened = [floor == edit.scene.target.room.floor]
    elif edit.kind == "accessory":
        (index,) = edit.scene.changed[1]
        happened = [_wears(edit.scene.target.items[index], objects)]
    else:
        happened = [_happened(change, objects) for change in edit.changes]
    kept = [_is_there(item, _cells(place(item)[0][..., 3] >= 0.5), objects) for item in edit.others]
    return Verdict(all(happened), float(np.mean(happened)), all(kept) if kept else None)


def _happened(change: Change, objects: dict[str, Seen]) -> bool:
    """Whether what was asked for is there, and what was to go is not."""
    cells = _cells(change.region)
    before, after = change.before, change.after
    gone = before is None or (isinstance(after, Item) and before.name == after.name) or not _stands(objects.get(before.name), cells)
    if after is None:
        # Nothing else may have come in its place.
        return gone and not any(_stands(seen, cells) for seen in objects.values())
    return gone and _is_there(after, cells, objects)


def _is_there(item: Item, cells: np.ndarray, objects: dict[str, Seen]) -> bool:
    """Whether the object stands in these cells in its colour."""
    seen = objects.get(item.name)
    return seen is not None and _stands(seen, cells) and seen.colour == item.colour


def _wears(item: Item, objects: dict[str, Seen]) -> bool:
    seen = objects.get(item.name)
    return seen is not None and seen.accessory == item.accessory


def _stands(seen: Seen | None, cells: np.ndarray) -> bool:
    return seen is not None and seen.cells[cells].sum() >= INSIDE * seen.cells.sum()


def _cells(region: np.ndarray) -> np.ndarray:
    """The classifier's cells that hold some of the region, [CELLS, CELLS] bool."""
    step = SIZE // CELLS
    return region.reshape(CELLS, step, CELLS, step).any((1, 3))
