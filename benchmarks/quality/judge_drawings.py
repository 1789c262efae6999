"""Drawn pictures, judged by their colours and outlines."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scripts.small_model.drawings import PALETTE, Item, coverage
from scripts.small_model.see import NEAR, SMALLEST, shape_of

from .drawings import Change, Edit
from .scores import widened
from .verdict import Verdict

MOST = 2 / 3
"""Share of a region that must be unchanged, or gone, for its object to be so."""
MAJORITY = 1 / 2
"""Share of a region that must be of a colour for the region to be of that colour."""


def judge(edit: Edit, picture: np.ndarray) -> Verdict:
    """Looks at an edited picture, [H, W, 3] uint8."""
    background = edit.background.image()
    seen = [_change(change, picture, background) for change in edit.changes]
    kept = [is_there(item, picture) for item in edit.others]
    return Verdict(all(success for success, _ in seen), float(np.mean([degree for _, degree in seen])), all(kept) if kept else None)


def is_there(item: Item, picture: np.ndarray) -> bool:
    """Whether the object is still in its place in its colour and shape."""
    region = coverage(item) >= 0.5
    painted = painted_with(item.colour, picture)
    return painted[region].mean() >= MOST and _shape_near(painted, region) == item.shape


def painted_with(colour: str, picture: np.ndarray) -> np.ndarray:
    """Pixels of this palette colour, [H, W] bool: no other palette colour is closer, and it is near."""
    distances = _distances(picture)
    index = list(PALETTE).index(colour)
    return (distances.argmin(0) == index) & (distances[index] < NEAR)


def _change(change: Change, picture: np.ndarray, background: np.ndarray) -> tuple[bool, float]:
    """Whether this change happened, and how far in 0..1."""
    if change.after is None:
        return _gone(change.region, picture, background)
    if change.before is None:
        return _added(change, picture)
    if change.before.shape != change.after.shape:
        return _reshaped(change, picture)
    share = float(painted_with(change.after.colour, picture)[change.region].mean())
    return share > MAJORITY, share


def _gone(region: np.ndarray, picture: np.ndarray, background: np.ndarray) -> tuple[bool, float]:
    """Whether most of the region looks more like the background behind it than like any paint."""
    from_background = np.linalg.norm(picture.astype(np.float32) - background, axis=-1)
    share = float((from_background < _distances(picture).min(0))[region].mean())
    return share >= MOST, share


def _reshaped(change: Change, picture: np.ndarray) -> tuple[bool, float]:
    """Whether the object has the asked shape in its old colour; how far is the overlap with the shape as asked for."""
    assert change.after is not None
    painted = painted_with(change.after.colour, picture)
    found = _largest(painted & widened(change.region))
    if found is None:
        return False, 0.0
    wanted = coverage(change.after) >= 0.5
    return shape_of(found) == change.after.shape, float((found & wanted).sum() / (found | wanted).sum())


def _added(change: Change, picture: np.ndarray) -> tuple[bool, float]:
    """Whether an object of the asked colour and shape stands on the asked side; half of the way is the colour."""
    assert change.after is not None
    found = _largest(painted_with(change.after.colour, picture))
    if found is None:
        return False, 0.0
    inside = float(found[change.region].sum() / found.sum())
    right_shape = shape_of(found) == change.after.shape
    return inside >= MOST and right_shape, inside * (1 + right_shape) / 2


def _shape_near(painted: np.ndarray, region: np.ndarray) -> str | None:
    found = _largest(painted & widened(region))
    return None if found is None else shape_of(found)


def _largest(painted: np.ndarray) -> np.ndarray | None:
    """The largest connected part without holes and specks, [H, W] bool; None where it is too small for an object."""
    parts, count = ndimage.label(ndimage.binary_opening(painted, np.ones((3, 3))))
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    return ndimage.binary_fill_holes(parts == sizes.argmax() + 1) if sizes.max() >= SMALLEST else None


def _distances(picture: np.ndarray) -> np.ndarray:
    """From each pixel to each palette colour, in RGB, [colours, H, W]."""
    colours, pixels = np.array(list(PALETTE.values()), np.float32), picture.reshape(-1, 3).astype(np.float32)
    squares = np.square(colours).sum(1)[:, None] - 2 * colours @ pixels.T + np.square(pixels).sum(1)
    return np.sqrt(squares.clip(0)).reshape(-1, *picture.shape[:2])
