"""Folders of small photos, and what the fleet made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GREY = (90, 90, 90)


def paint(path: Path, colour: tuple[int, int, int] = GREY, size: tuple[int, int] = (16, 16), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def lines_of(out: Path) -> dict[str, dict[str, Any]]:
    """The report: the last line of each photo, by its name."""
    return {line["photo"]: line for line in map(json.loads, (out / "report.jsonl").read_text(encoding="utf-8").splitlines())}


def files_in(folder: Path) -> set[str]:
    """Every file that is not hidden."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in found if not file.parts[0].startswith(".")}
