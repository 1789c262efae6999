"""What an edit is to the methods and the scores, whatever its picture shows, and the edits of each subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    def number(self) -> int: ...
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


@dataclass(frozen=True)
class TakenBack:
    """An edit the other way round, on the picture that a method made of it."""

    edit: Edit
    method: str
    photo: np.ndarray = field(compare=False, repr=False)

    @property
    def kind(self) -> str:
        return self.edit.kind

    @property
    def number(self) -> int:
        return self.edit.number

    @property
    def name(self) -> str:
        return f"{self.edit.name}-back"

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(replace(change, before=change.after, after=change.before) for change in self.edit.changes)

    @property
    def asked_photo(self) -> np.ndarray:
        return self.edit.photo

    @property
    def caption(self) -> str:
        return self.edit.asked_caption

    @property
    def asked_caption(self) -> str:
        return self.edit.caption

    @property
    def region(self) -> np.ndarray:
        return self.edit.region


def taken_back(edit: Edit, picture: np.ndarray, method: str) -> TakenBack | None:
    """None where a thing only comes or goes: the way back would be another kind of edit."""
    both = all(change.before and change.after and not change.written for change in edit.changes)
    return TakenBack(edit, method, picture) if both else None


def kinds_of(subject: Subject) -> tuple[str, ...]:
    return PICTURES[subject].KINDS


def make_edits(seed: int, each: int, subject: Subject = SUBJECTS[0]) -> list[Edit]:
    """`each` edits of every kind, kinds taking turns, so that any beginning of the list holds all of them about equally often."""
    pictures = PICTURES[subject]
    return [pictures.make_edit(seed, kind, number) for number in range(each) for kind in pictures.KINDS]
