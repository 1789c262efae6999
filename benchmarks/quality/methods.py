"""What is compared: ways to edit a picture, behind one small interface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

from .edits import Edit
from .result import Result
from .settings import Setting
from .subjects import Subject

OURS, FOUND, UNNAMED = "ours", "ours_place_found", "ours_without_source"
PUBLISHED, TRUE_MASK, TRUE_ONE = "ours_as_published", "ours_true_mask", "ours_true_mask_one_setting"
SHIPPED, REPAIRED, NAMED = "diffusers_as_shipped", "diffusers_repaired", "diffusers_source_named"
FLOWEDIT, IMG2IMG, INPAINT = "flowedit", "img2img", "inpaint"
METHODS: dict[Subject, tuple[str, ...]] = {
    "unet": (OURS, FOUND, TRUE_MASK, TRUE_ONE, SHIPPED, REPAIRED, IMG2IMG),
    "transformer": (FOUND, PUBLISHED, TRUE_MASK, FLOWEDIT, IMG2IMG),
    "scenes": (FOUND, UNNAMED, PUBLISHED, TRUE_MASK, SHIPPED, REPAIRED, NAMED, FLOWEDIT, IMG2IMG, INPAINT),
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


def _source_named() -> Method:
    from .references import Reference

    return Reference.source_named()


def _by_sampler(name: str) -> Method:
    from . import img2img

    return getattr(img2img, name)


_MAKERS: dict[str, Callable[[], Method]] = {
    **{name: functools.partial(_ours, name) for name in (OURS, FOUND, UNNAMED, PUBLISHED, TRUE_MASK, TRUE_ONE, FLOWEDIT)},
    SHIPPED: _as_shipped,
    REPAIRED: _repaired,
    NAMED: _source_named,
    **{name: functools.partial(_by_sampler, name) for name in (IMG2IMG, INPAINT)},
}
"""Imports wait until a method is asked for: diffusers takes seconds."""
