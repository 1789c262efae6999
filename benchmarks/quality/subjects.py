"""What edits: the small checkpoint with its UNet, the small transformer, which reads the checkpoint's text encoder and autoencoder, and
the checkpoint of the scenes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from scripts.paths import CHECKPOINT, SCENES_CHECKPOINT, TRANSFORMER_FILE

Subject = Literal["unet", "transformer", "scenes"]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
FILES: dict[Subject, tuple[Path, ...]] = {
    "unet": (CHECKPOINT,),
    "transformer": (CHECKPOINT, TRANSFORMER_FILE),
    "scenes": (SCENES_CHECKPOINT,),
}
"""All that its results depend on; text encoder and autoencoder are in the first, its network in the last."""


def file_name(stem: str, subject: Subject) -> str:
    """Of settings and results, without a suffix: the first subject's have the plain name."""
    return stem if subject == SUBJECTS[0] else f"{stem}-{subject}"
