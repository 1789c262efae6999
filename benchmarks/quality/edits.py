"""What an edit is to the methods and the scores, whatever its picture shows, and the edits of each subject."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

import numpy as np

from . import drawings, scenes
from .subjects import SUBJECTS, Subject

SCORED, TUNING = 31_415, 27_182
"""Seeds of the two sets of edits. Trainings and their measurements draw from other ones."""
PICTURES: dict[Subject, ModuleType] = {"unet": drawings, "transformer": drawings, "scenes": scenes}


class Named(Protocol):
    """Something that a picture shows.

    Attributes:
        phrase: with its article, if it has one: "a red circle", "grass".
    """

    @property
    def phrase(self) -> str: ...


class Change(Protocol):
    """One thing asked for: `before` becomes `after`. Nothing was there where `before` is None, and nothing shall be where `after` is.

    Attributes:
        written: what a person writes as what is there and as what shall be there instead, where that is not `before` and `after`.
        region: where the picture must change, [H, W] bool.
    """

    @property
    def before(self) -> Named | None: ...
    @property
    def after(self) -> Named | None: ...
    @property
    def written(self) -> tuple[str, str] | None: ...
    @property
    def region(self) -> np.ndarray: ...


class Edit(Protocol):
    """A picture and the changes asked of it.

    Attributes:
        photo, asked_photo: as it is, and as it could be drawn after the edit, [H, W, 3] uint8.
        caption, asked_caption: what both show.
        region: where the picture may change, [H, W] bool.
    """

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def changes(self) -> Sequence[Change]: ...
    @property
    def photo(self) -> np.ndarray: ...
    @property
    def asked_photo(self) -> np.ndarray: ...
    @property
    def caption(self) -> str: ...
    @property
    def asked_caption(self) -> str: ...
    @property
    def region(self) -> np.ndarray: ...


def kinds_of(subject: Subject) -> tuple[str, ...]:
    return PICTURES[subject].KINDS


def make_edits(seed: int, each: int, subject: Subject = SUBJECTS[0]) -> list[Edit]:
    """`each` edits of every kind, kinds taking turns, so that any beginning of the list holds all of them about equally often."""
    pictures = PICTURES[subject]
    return [pictures.make_edit(seed, kind, number) for number in range(each) for kind in pictures.KINDS]
