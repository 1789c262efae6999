"""Results on disk, one by one as they are made, so that a run goes on where it stopped.

A result's folder is named after everything that it depends on: the subject's files, setting and the source of its method. Whatever of these
changes, the edit is made again; what judges it may change freely.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.paths import CHECKOUT, OUTPUT

from .edits import Edit
from .methods import FLOWEDIT, FOUND, IMG2IMG, INPAINT, NAMED, OURS, PUBLISHED, REPAIRED, SHIPPED, TRUE_MASK, TRUE_ONE, UNNAMED
from .scores import Overlap
from .settings import Setting
from .subjects import FILES, Subject

FOLDER = OUTPUT / "quality"

EVERYWHERE = ("benchmarks/quality/settings.py", "benchmarks/quality/checkpoint.py")
_DRAWINGS = ("scripts/small_model/drawings.py", "benchmarks/quality/drawings.py")
_SCENES = tuple(f"scripts/scenes/{name}.py" for name in ("objects", "rooms", "scenes", "kinds"))
PICTURES: dict[Subject, tuple[str, ...]] = {
    "unet": _DRAWINGS,
    "transformer": _DRAWINGS,
    "scenes": (*_SCENES, "benchmarks/quality/scenes.py"),
}
_PACK = ("ledits", "nodes", "benchmarks/quality/ours.py", "benchmarks/quality/cut.py")
_DIFFUSERS = (
    "benchmarks/quality/cut.py",
    "benchmarks/reference/pipeline.py",
    "benchmarks/reference/unet.py",
    "benchmarks/quality/references.py",
)
_GUIDANCE = ("steps", "skip", "scale", "remove_scale", "warmup", "cooldown")
_MASKS = ("mask_mode", "area", "threshold")
_SOLVER = ("solver", "path_shift")
USED = {
    OURS: (*_GUIDANCE, *_SOLVER, *_MASKS, "named_words", "resolution", "average_steps", "look"),
    FOUND: (*_GUIDANCE, *_SOLVER),
    UNNAMED: (*_GUIDANCE, *_SOLVER, "resolution", "average_steps"),
    PUBLISHED: (*_GUIDANCE, *_SOLVER, "resolution", "average_steps"),
    TRUE_MASK: (*_GUIDANCE, *_SOLVER),
    TRUE_ONE: (*_GUIDANCE, *_SOLVER),
    FLOWEDIT: ("steps", "flowedit_skip", "source_cfg", "target_cfg"),
    SHIPPED: (*_GUIDANCE, *_MASKS),
    REPAIRED: (*_GUIDANCE, *_MASKS),
    NAMED: (*_GUIDANCE, *_MASKS),
    IMG2IMG: ("steps", "strength"),
    INPAINT: ("steps", "strength"),
}
"""What of a setting a method depends on: with the rest another, its results stay."""
SOURCES = {
    **dict.fromkeys((OURS, FOUND, UNNAMED, PUBLISHED, TRUE_MASK, TRUE_ONE, FLOWEDIT), _PACK),
    **dict.fromkeys((SHIPPED, REPAIRED, NAMED), _DIFFUSERS),
    **dict.fromkeys((IMG2IMG, INPAINT), ("benchmarks/quality/img2img.py",)),
}


@dataclass(frozen=True)
class Entry:
    """What is kept of one edit by one method.

    Attributes:
        overlaps: by mask mode, the mean over the concepts' masks; where masks were looked at.
        replay_error: see `Result`.
        seconds: processor time that the method took.
        return_psnr: in dB, of the photo that comes back when the edit is taken back by the same method; None where that was not tried.
    """

    overlaps: dict[str, Overlap]
    replay_error: float | None
    seconds: float
    return_psnr: float | None = None


@dataclass(frozen=True)
class Place:
    """Where one edit's result of one method lies."""

    stem: Path

    @classmethod
    def of(cls, method: str, setting: Setting, edit: Edit, full: bool = True) -> Place:
        """`full` results hold every mask mode and the replay error; the others only what tuning looks at."""
        used = json.dumps({name: getattr(setting, name) for name in USED[method]})
        weights = (file_key(file) for file in FILES[setting.subject])
        key = _digest(
            setting.subject, *weights, used, str(full), source_key(SOURCES[method]), source_key(EVERYWHERE + PICTURES[setting.subject])
        )
        return cls(FOLDER / "results" / f"{method}-{key}" / f"{edit.name}-{_digest(repr(edit.scene))[:6]}")

    @property
    def picture_file(self) -> Path:
        return self.stem.with_suffix(".png")

    @property
    def mask_file(self) -> Path:
        return self.stem.with_suffix(".mask.png")

    @property
    def entry_file(self) -> Path:
        """Written last: where it is, the result is whole."""
        return self.stem.with_suffix(".json")

    def is_done(self) -> bool:
        return self.entry_file.exists()

    def write(self, picture: np.ndarray, mask: np.ndarray | None, entry: Entry) -> None:
        """Keeps the edited picture, [H, W, 3] uint8, and the share of steps in which each cell was let change, [h, w] in 0..1."""
        self.stem.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(self.picture_file)
        if mask is not None:
            Image.fromarray((mask * 255).round().astype(np.uint8)).save(self.mask_file)
        partial = self.stem.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(entry)) + "\n")
        partial.rename(self.entry_file)

    def picture(self) -> np.ndarray:
        return np.asarray(Image.open(self.picture_file))

    def mask(self) -> np.ndarray | None:
        return np.asarray(Image.open(self.mask_file)) if self.mask_file.exists() else None

    def entry(self) -> Entry:
        stored = json.loads(self.entry_file.read_text())
        return Entry(**stored | {"overlaps": {mode: Overlap(**one) for mode, one in stored["overlaps"].items()}})


@functools.cache
def file_key(file: Path) -> str:
    return _digest(file.read_bytes())


@functools.cache
def source_key(paths: tuple[str, ...]) -> str:
    """Changes with any Python file among these paths and below them."""
    files = [file for path in paths for file in (sorted((CHECKOUT / path).rglob("*.py")) or [CHECKOUT / path])]
    return _digest(*(part for file in files for part in (str(file.relative_to(CHECKOUT)), file.read_bytes())))


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]
