"""Contact sheets: edits, one a row, by every method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .methods import METHODS
from .report import score
from .work import Job

SIDE, HEAD, GAP = 128, 30, 4
INK, PAPER = (40, 40, 46), (250, 250, 248)
GOOD, BAD = (46, 160, 67), (203, 36, 49)
ROWS, ROWS_IN_OVERVIEW = 10, 2
"""Of each kind, the first ones."""


def draw(jobs: Sequence[Job], methods: Sequence[str], folder: Path) -> list[Path]:
    """One PNG for each kind; a green line under a picture says that the edit succeeded, a red one that it did not."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in dict.fromkeys(job.edit.kind for job in jobs):
        path = folder / f"{kind}.png"
        _sheet([job for job in jobs if job.edit.kind == kind][:ROWS], methods).save(path)
        paths.append(path)
    return paths


def overview(jobs: Sequence[Job], methods: Sequence[str], path: Path) -> None:
    """Some edits of every kind in one picture that is small enough for a page: a JPEG, or a PNG of fewer colours."""
    kinds = dict.fromkeys(job.edit.kind for job in jobs)
    some = [job for kind in kinds for job in [job for job in jobs if job.edit.kind == kind][:ROWS_IN_OVERVIEW]]
    sheet = _sheet(some, methods)
    if path.suffix == ".jpg":
        sheet.save(path, quality=85, optimize=True)
    else:
        sheet.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def _sheet(jobs: Sequence[Job], methods: Sequence[str]) -> Image.Image:
    heads = ["photo", "asked", *(name.replace("_", " ").replace("diffusers ", "diffusers\n") for name in methods)]
    ours = METHODS[jobs[0].setting.subject][0]
    if ours in methods:
        heads.insert(heads.index(ours.replace("_", " ")) + 1, "its mask")
    sheet = Image.new("RGB", (len(heads) * (SIDE + GAP) + GAP, HEAD + len(jobs) * (SIDE + 3 * GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        pen.multiline_text(_at(column, 0, -HEAD / 2), head, INK, ImageFont.load_default(11), "mm", align="center")
    for row, job in enumerate(jobs):
        cells = [(job.edit.photo, None), (job.edit.asked_photo, None)]
        for name in methods:
            cells.append((job.place(name).picture(), score(job, name).verdict.success))
            if name == ours:
                cells.append((_over(job.edit.photo, job.place(name).mask()), None))
        for column, (picture, success) in enumerate(cells):
            x, y = _at(column, row)
            sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX), (int(x - SIDE / 2), int(y)))
            if success is not None:
                pen.rectangle((x - SIDE / 2, y + SIDE, x + SIDE / 2 - 1, y + SIDE + 3), GOOD if success else BAD)
    return sheet


def _at(column: int, row: int, dy: float = 0) -> tuple[float, float]:
    """Top middle of a cell."""
    return GAP + column * (SIDE + GAP) + SIDE / 2, HEAD + row * (SIDE + 3 * GAP) + dy


def _over(photo: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The mask's cells over the dimmed photo: the brighter, the more steps let them change."""
    if mask is None:
        return photo
    share = np.kron(mask, np.ones((photo.shape[0] // mask.shape[0],) * 2))[..., None] / 255
    return (photo * 0.35 * (1 - share) + share * np.array([255, 210, 80])).astype(np.uint8)
