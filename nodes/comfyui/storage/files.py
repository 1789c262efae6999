"""Inversion files in a folder: which there are, and opening one without leaving the folder."""

import contextlib
import os
import time
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".inversion.safetensors"
LEFTOVER_AGE = 3600.0  # seconds after which a leftover temp file is deleted


class InversionFileError(ValueError):
    """A file that cannot be read as an inversion. The text continues "the file ...": what is wrong and what to do."""


def names(folder: Path) -> list[str]:
    """The inversion files in a folder and its subfolders, relative to it, without symbolic links."""
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    found = (file for file in files if file.name.endswith(SUFFIX) and not file.name.startswith(".") and not file.is_symlink())
    return sorted(file.relative_to(folder).as_posix() for file in found)


def state(folder: Path, name: str) -> str:
    """A text that changes whenever the file does."""
    with open_inside(folder, name) as file:
        found = os.fstat(file.fileno())
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Opens a plain file below a folder, which may be a link itself; InversionFileError where the name is of anything else."""
    root = Path(os.path.realpath(folder))
    path = root / name
    with contextlib.suppress(OSError, ValueError):  # no such file, no right to read it, a name that no file can have
        # A link, or "..", anywhere on the way makes the two paths differ.
        if name.endswith(SUFFIX) and not os.path.isabs(name) and Path(os.path.realpath(path)) == path and path.is_file():
            return path.open("rb")
    problem = f"is not there any more, or is no *{SUFFIX} below its folder that can be read (links are not followed)"
    raise InversionFileError(f"{problem}: refresh the list (press R) and choose again")


def delete_leftovers(folder: Path) -> None:
    """Deletes what a killed process left while it saved here, but not what another process may still be writing."""
    for file in folder.glob(f".*{SUFFIX}.????????.tmp"):
        with contextlib.suppress(OSError):
            if file.is_file() and not file.is_symlink() and time.time() - file.stat().st_mtime > LEFTOVER_AGE:
                file.unlink()
