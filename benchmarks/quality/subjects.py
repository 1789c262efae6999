"""What edits: the small checkpoint with its UNet, or the small transformer, which reads the checkpoint's text encoder and autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from scripts.paths import CHECKPOINT, TRANSFORMER_FILE

Subject = Literal["unet", "transformer"]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
FILES: dict[Subject, tuple[Path, ...]] = {"unet": (CHECKPOINT,), "transformer": (CHECKPOINT, TRANSFORMER_FILE)}
"""All that its results depend on; its network is in the last."""


def file_name(stem: str, subject: Subject) -> str:
    """Of settings and results, without a suffix: the first subject's have the plain name."""
    return stem if subject == SUBJECTS[0] else f"{stem}-{subject}"
