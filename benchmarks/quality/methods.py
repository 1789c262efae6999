"""What is compared: ways to edit a picture, behind one small interface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

from .edits import Edit
from .result import Result
from .settings import Setting
from .subjects import Subject

OURS, FOUND, PUBLISHED, TRUE_MASK = "ours", "ours_place_found", "ours_as_published", "ours_true_mask"
SHIPPED, REPAIRED, FLOWEDIT, IMG2IMG = "diffusers_as_shipped", "diffusers_repaired", "flowedit", "img2img"
METHODS: dict[Subject, tuple[str, ...]] = {
    "unet": (OURS, FOUND, TRUE_MASK, SHIPPED, REPAIRED, IMG2IMG),
    "transformer": (FOUND, PUBLISHED, TRUE_MASK, FLOWEDIT, IMG2IMG),
}
"""Of each subject, the pack's own first. diffusers has no LEDITS++ for transformers."""


class Method(Protocol):
    """Edits one picture. `full` asks for the replay error and for every kind of mask, even where an edit needs another run for them."""

    def __call__(self, edit: Edit, setting: Setting, full: bool = False) -> Result: ...


@functools.cache
def method(name: str) -> Method:
    """The method of this name, set up once a process."""
    return _MAKERS[name]()


def _ours(name: str) -> Method:
    from . import ours

    return getattr(ours, name)


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
    **{name: functools.partial(_ours, name) for name in (OURS, FOUND, PUBLISHED, TRUE_MASK, FLOWEDIT)},
    SHIPPED: _as_shipped,
    REPAIRED: _repaired,
    IMG2IMG: _img2img,
}
"""Imports wait until a method is asked for: diffusers takes seconds."""
