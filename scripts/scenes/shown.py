"""The scenes that the pages show, out of those that `make quality` scores, as files for checkouts without the renders.

python3 scripts/environment/prepare.py scripts/scenes/shown.py
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.paths import CHECKOUT, SCENES_CHECKPOINT
from scripts.scenes.fetch import fetch
from scripts.scenes.kinds import random_edit
from scripts.scenes.rooms import SIZE

SEED = 31_415
"""Of the scored edits."""
SCALE = 5.0
"""What its checkpoint likes."""
ASKED, REST = 255, 128
"""In the file of a region."""
FOLDER = CHECKOUT / "scripts" / "scenes" / "shown"


@dataclass(frozen=True)
class Shown:
    """A scored edit of which the photo and the true region are kept.

    Attributes:
        where: what is there.
        text: what shall be there instead.
        shows: the object and its colour afterwards, by the classifier's names.
    """

    kind: str
    number: int
    where: str
    text: str
    shows: tuple[str, str | None] | None

    @property
    def name(self) -> str:
        """What is there, for a file."""
        return self.where.removeprefix("a ").replace(" ", "_")

    @property
    def photo_file(self) -> Path:
        return FOLDER / f"{self.name}.png"

    @property
    def region_file(self) -> Path:
        return FOLDER / f"{self.name}-region.png"

    @property
    def values(self) -> dict[str, dict[str, object]]:
        """What stands in the place of a photo's values in the workflow for photos, by the nodes' kinds."""
        return {
            "CheckpointLoaderSimple": {"ckpt_name": SCENES_CHECKPOINT.name},
            "LoadImage": {"image": self.photo_file.name},
            "LEDITS_FitPhoto": {"megapixels": SIZE**2 / 1024**2},
            "LEDITS_Concept": {"where": self.where, "text": self.text, "scale": SCALE, "warmup": 0},
        }

    def photo(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        return np.asarray(Image.open(self.photo_file).convert("RGB"))

    def region(self) -> np.ndarray:
        """Where it may change, [H, W] bool."""
        return np.asarray(Image.open(self.region_file)) > 0

    def asked_region(self) -> np.ndarray:
        """Where what is asked for would stand, [H, W] bool."""
        return np.asarray(Image.open(self.region_file)) == ASKED


SHOWN = (
    Shown("recolour", 3, "a purple car", "a red car", ("car", "red")),
    Shown("recolour", 1, "a green boot", "a yellow boot", ("boot", "yellow")),
    Shown("floor", 1, "a tiled floor", "sand", None),
    Shown("replace", 1, "a sunflower", "a cactus", ("cactus", None)),
)
CAR, BOOT, _, FLOWER = SHOWN
DEMO = next(one for one in SHOWN if one.kind == "replace")


def lay_out(folder: Path) -> None:
    """Puts the photos and their checkpoint into ComfyUI's base directory."""
    for place in ("input", "models/checkpoints"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for one in SHOWN:
        shutil.copy(one.photo_file, folder / "input")
    (folder / "models" / "checkpoints" / SCENES_CHECKPOINT.name).symlink_to(SCENES_CHECKPOINT)


def main() -> None:
    fetch()
    FOLDER.mkdir(exist_ok=True)
    for one in SHOWN:
        edit = random_edit(one.kind, one.number, SEED)
        assert (*edit.remove, *edit.add) == (one.where, one.text), f"{one.name} is about {edit.remove} and {edit.add}"
        truth = edit.truth()
        Image.fromarray(truth.before).save(one.photo_file, optimize=True)
        region = np.where(truth.region, REST, 0).astype(np.uint8)
        if one.shows:
            region[edit.target.draw().masks[edit.changed[1][0]]] = ASKED
        Image.fromarray(region).save(one.region_file, optimize=True)
        print(one.photo_file, one.photo_file.stat().st_size)


if __name__ == "__main__":
    main()
