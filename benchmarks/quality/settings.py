"""How each kind of edit is made: one setting a kind, the same for every method, found by tune.py and written down in settings.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scripts.small_model.drawings import Item

from .edits import KINDS, Change, Edit, Kind

FILE = Path(__file__).with_name("settings.json")
MASK_MODES = ("attention", "noise", "intersect")
SEED = 0
"""Of the noise, for every method."""


@dataclass(frozen=True)
class Setting:
    """What a user would set for this kind of edit.

    Attributes:
        steps, skip: the schedule.
        scale: strength of what is added.
        remove_scale: strength of what is removed; 0 leaves it to the added concept alone to replace the old one.
        warmup, cooldown: first step in which concepts act, first in which they no longer do (0: they act to the end).
        mask_mode: the masks that the scored picture is made with.
        area: share of the picture that may change, as a multiple of the true region's share. Gives the threshold.
        named_words: whether only colour and shape decide where to change, or all words. diffusers always takes all.
        resolution: cells along a side of the attention maps; 0 is a quarter of the latent, which is what diffusers always takes.
        average_steps: whether attention is averaged over the steps so far. diffusers always takes the current step's.
        look: how much noise the photo gets for one look at where its objects are, before the edit: an object is changed there, one that is
            added keeps off the others. 0: no such look, only each step's at each concept's own words, which is all that diffusers has.
        strength: share of the noise that img2img begins with.
        solver, path_shift: how ours inverts.
    """

    steps: int = 20
    skip: float = 0.05
    scale: float = 4.0
    remove_scale: float = 4.0
    warmup: int = 0
    cooldown: int = 0
    mask_mode: str = "attention"
    area: float = 1.0
    named_words: bool = True
    resolution: int = 0
    average_steps: bool = False
    look: float = 0.0
    strength: float = 0.8
    solver: str = "LEDITS++"
    path_shift: int = 0

    @property
    def active_steps(self) -> range:
        return range(self.warmup, min(self.cooldown or self.steps, self.steps))


@dataclass(frozen=True)
class EditRequest:
    """One concept of an edit.

    Attributes:
        words: those of the text that name the object.
        threshold: lambda, from the size of the change's true region.
    """

    change: Change
    text: str
    words: str
    add: bool
    scale: float
    threshold: float


def edit_requests(edit: Edit, setting: Setting) -> list[EditRequest]:
    """What is removed and what is added, change by change."""
    found = []
    for change in edit.changes:
        threshold = min(max(1 - setting.area * float(change.region.mean()), 0.0), 1.0)
        for item, add, scale in ((change.before, False, setting.remove_scale), (change.after, True, setting.scale)):
            if item is not None and scale:
                found.append(EditRequest(change, item.phrase, naming(item), add, scale, threshold))
    return found


def naming(item: Item) -> str:
    """The words of its phrase that tell the object from others."""
    return f"{item.colour} {item.shape}"


def load() -> dict[Kind, Setting]:
    """The settings that were written down; defaults for a kind that none was found for yet."""
    stored: dict[str, dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    known = {field.name for field in fields(Setting)}
    return {kind: Setting(**{key: value for key, value in stored.get(kind, {}).items() if key in known}) for kind in KINDS}


def save(settings: dict[Kind, Setting]) -> None:
    FILE.write_text(json.dumps({kind: asdict(setting) for kind, setting in settings.items()}, indent=1) + "\n")
