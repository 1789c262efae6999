"""How each kind of edit is made, the same for every method. tune.py finds it and writes it to a file for each subject.

On drawings the UNet has a setting for each kind of edit; the other subjects have one for all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .edits import Change, Edit, Named, kinds_of
from .subjects import SUBJECTS, Subject, file_name

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
        threshold: of every mask; 0 takes it from the area.
        as_written: whether a change is asked for in the words of `Change.written`, where it has any.
        flowedit_skip, source_cfg, target_cfg: FlowEdit's own schedule, and its guidance by the prompts of the photo and of the wanted one.
            As published for SD3, which begins at a share of noise of 0.85.
        subject: what edits.
        for_all_kinds: whether all kinds of edit share it.
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
    threshold: float = 0.0
    as_written: bool = False
    flowedit_skip: float = 0.17
    source_cfg: float = 3.5
    target_cfg: float = 13.5
    subject: Subject = "unet"
    for_all_kinds: bool = False

    @property
    def of_any_kind(self) -> Setting:
        """For a place that is found: of a setting that is tuned for one kind of edit only fewer steps stay."""
        return self if self.for_all_kinds else replace(ANY_KIND, steps=min(self.steps, ANY_KIND.steps))

    @property
    def active_steps(self) -> range:
        return range(self.warmup, min(self.cooldown or self.steps, self.steps))


ANY_KIND = Setting(steps=20, scale=12.0, remove_scale=3.0, for_all_kinds=True)
STARTS: dict[Subject, Setting] = {
    "unet": Setting(),
    "transformer": Setting(scale=7.0, resolution=16, subject="transformer", for_all_kinds=True),  # whose maps have a cell for each token
    "scenes": Setting(scale=5.0, skip=0.15, subject="scenes", for_all_kinds=True),
}
"""Where tuning starts."""
GROUPS: dict[Subject, dict[str, tuple[str, ...]]] = {
    subject: {kind: (kind,) for kind in kinds_of(subject)} if subject == "unet" else {"all": kinds_of(subject)} for subject in SUBJECTS
}
"""Kinds of edit that share a setting, by its name in the file."""


@dataclass(frozen=True)
class EditRequest:
    """One concept of an edit.

    Attributes:
        words: those of the text that name the thing.
        where: what is there in the photo; empty where that is not known.
        threshold: lambda.
    """

    change: Change
    text: str
    words: str
    where: str
    add: bool
    scale: float
    threshold: float


def edit_requests(edit: Edit, setting: Setting) -> list[EditRequest]:
    """What is removed and what is added, change by change."""
    found = []
    for change in edit.changes:
        threshold = setting.threshold or min(max(1 - setting.area * float(change.region.mean()), 0.0), 1.0)
        where = change.before.phrase if change.before else ""
        parts = [(item.phrase, add, scale) for item, add, scale in _before_and_after(change, setting) if item is not None and scale]
        if setting.as_written and change.written is not None:
            where, text = change.written
            parts = [(text, True, setting.scale)]
        found += [EditRequest(change, text, naming(text), where, add, scale, threshold) for text, add, scale in parts]
    return found


def _before_and_after(change: Change, setting: Setting) -> tuple[tuple[Named | None, bool, float], ...]:
    return (change.before, False, setting.remove_scale), (change.after, True, setting.scale)


def naming(phrase: str) -> str:
    """The words of a phrase that tell the thing from others: all but its article."""
    return phrase.removeprefix("a ").removeprefix("an ")


def load(subject: Subject = "unet") -> dict[str, Setting]:
    """The settings that were written down, by kind; where none was found yet, what tuning starts with."""
    file = settings_file(subject)
    stored: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    known = {field.name for field in fields(Setting)} - {"subject", "for_all_kinds"}
    found = {name: {key: value for key, value in one.items() if key in known} for name, one in stored.items()}
    return {kind: replace(STARTS[subject], **found.get(name, {})) for name, kinds in GROUPS[subject].items() for kind in kinds}


def save(settings: dict[str, Setting], subject: Subject = "unet") -> None:
    stored = {name: asdict(settings[kinds[0]]) for name, kinds in GROUPS[subject].items()}
    settings_file(subject).write_text(json.dumps(stored, indent=1) + "\n")


def settings_file(subject: Subject) -> Path:
    return Path(__file__).with_name(f"{file_name('settings', subject)}.json")
