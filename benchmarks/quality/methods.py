"""What is compared: six ways to edit a picture, behind one small interface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

from .edits import Edit
from .result import Result
from .settings import Setting

OURS, FOUND, TRUE_MASK, SHIPPED, REPAIRED, IMG2IMG = METHODS = (
    *("ours", "ours_place_found", "ours_true_mask"),
    *("diffusers_as_shipped", "diffusers_repaired", "img2img"),
)


class Method(Protocol):
    """Edits one picture. `full` asks for the replay error and for every kind of mask, even where an edit needs another run for them."""

    def __call__(self, edit: Edit, setting: Setting, full: bool = False) -> Result: ...


@functools.cache
def method(name: str) -> Method:
    """The method of this name, set up once a process."""
    return _MAKERS[name]()


def _ours() -> Method:
    from . import ours

    return ours.ours


def _ours_place_found() -> Method:
    from . import ours

    return ours.ours_place_found


def _ours_true_mask() -> Method:
    from . import ours

    return ours.ours_true_mask


def _as_shipped() -> Method:
    from .references import Reference

    return Reference.as_shipped()


def _repaired() -> Method:
    from .references import Reference

    return Reference.repaired()


def _img2img() -> Method:
    from .img2img import img2img

    return img2img


_MAKERS: dict[str, Callable[[], Method]] = {
    OURS: _ours,
    FOUND: _ours_place_found,
    TRUE_MASK: _ours_true_mask,
    SHIPPED: _as_shipped,
    REPAIRED: _repaired,
    IMG2IMG: _img2img,
}
"""Imports wait until a method is asked for: diffusers takes seconds."""
