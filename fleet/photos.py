"""The photos of a folder, as they lie there, upright, and small."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from .errors import FleetError, PhotoError

THUMBNAIL = 224
"""Pixels of the longest side in the report."""


@dataclass(frozen=True)
class Photo:
    """A photo by its path inside the folder, with / on every system."""

    name: str
    stem: str
    """What its result is called, before the extension."""
    stamp: str
    """Changes when the file does."""


def find_photos(folder: Path, results: Path) -> Iterator[Photo]:
    """All files that Pillow has a reader for, folder by folder, without hidden ones and without those of the results."""
    if not folder.is_dir():
        raise FleetError(f"{folder} is not a folder of photos.")
    if results == folder:
        raise FleetError(f"{results} cannot be both the folder of the photos and of the results: name another for the results.")
    Image.init()
    known = {extension for extension, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(parent, name) != results)
        photos = sorted(name for name in files if not name.startswith(".") and os.path.splitext(name)[1].lower() in known)
        # Beside a.jpg there may be an a.png, whose results are a.jpg.png and a.png.png, and then even a photo a.jpg.png.
        taken = Counter(each for name in photos for each in (name.casefold(), os.path.splitext(name)[0].casefold()))
        for name in photos:
            path = Path(parent, name)
            stem = os.path.splitext(name)[0]
            result = path.with_name(name if taken[stem.casefold()] > 1 else stem)
            yield Photo(path.relative_to(folder).as_posix(), result.relative_to(folder).as_posix(), _stamp(path))


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""  # a link to nowhere; why it cannot be read is said where it is read
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def slug(name: str) -> str:
    """A short name for a file, whatever the photo is called."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def read_values(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every row of a CSV: the photo, and the values of the other columns; an empty cell changes nothing."""
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the text.
        with open(path, encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.DictReader(file, delimiter=max(",;\t", key=head.count), strict=True)
            if "photo" not in (rows.fieldnames or ()):
                raise FleetError(f"{path} has no column 'photo'; its columns are {', '.join(rows.fieldnames or ())}.")
            for row in rows:
                name = (row.pop("photo") or "").replace("\\", "/")
                yield name, {column: cell for column, cell in row.items() if column and cell}
    except (OSError, ValueError, csv.Error) as error:
        raise FleetError(f"{path} cannot be read as CSV: {error}") from None


def open_photo(path: Path) -> Image.Image:
    """The photo, turned as its EXIF rotation says, with its transparency if it has one."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                raise PhotoError("has floating point values, and says not which of them is white; save it with 8 or 16 bits")
            if upright.mode.startswith("I"):
                # Of 16 bits Pillow would take the lower 8.
                upright = upright.point(lambda value: value * (1 / 257)).convert("L")
            return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except Image.DecompressionBombError as error:
        raise PhotoError(f"is too large: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(f"cannot be read as an image: {error}") from None


def pair(photo: Image.Image, result: Image.Image | None = None) -> Image.Image:
    """Photo and result side by side, small."""
    small = [ImageOps.contain(image.convert("RGB"), (THUMBNAIL, THUMBNAIL)) for image in (photo, result) if image is not None]
    sheet = Image.new("RGB", (2 * THUMBNAIL + 8, max(image.height for image in small)), "white")
    for place, image in enumerate(small):
        sheet.paste(image, (place * (THUMBNAIL + 8), 0))
    return sheet
