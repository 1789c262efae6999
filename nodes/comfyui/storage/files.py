"""Inversion files in a folder: which there are, and opening one without leaving the folder."""

import contextlib
import os
import stat
import time
from pathlib import Path, PurePath
from typing import BinaryIO

SUFFIX = ".inversion.safetensors"
LEFTOVER_AGE = 3600.0  # seconds after which a leftover temp file is deleted

# Without blocking, because opening a pipe would wait for a writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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
    relative = PurePath(name)
    if not relative.parts or "\0" in name or relative.is_absolute() or relative.drive or ".." in relative.parts:
        raise InversionFileError("is not the name of a file below its folder: choose one from the list")
    if not name.endswith(SUFFIX):
        raise InversionFileError(f"does not end in {SUFFIX}: choose a file that LEDITS++ Save Inversion wrote")
    path = Path(os.path.realpath(folder)) / relative
    try:
        # A link anywhere on the way makes the two differ. Opening checks the last part again.
        descriptor = os.open(path, _FLAGS) if Path(os.path.realpath(path)) == path else None
    except FileNotFoundError:
        raise InversionFileError("is not there any more: refresh the list (press R) and choose again") from None
    except (OSError, ValueError) as error:
        raise InversionFileError(f"cannot be opened ({error}): choose another") from error
    if descriptor is None:
        raise InversionFileError("is, or lies behind, a symbolic link: put the file itself there")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InversionFileError("is not a plain file: choose another")
    return os.fdopen(descriptor, "rb")


def delete_leftovers(folder: Path) -> None:
    """Deletes what a killed process left while it saved here, but not what another process may still be writing."""
    for file in folder.glob(f".*{SUFFIX}.????????.tmp"):
        with contextlib.suppress(OSError):
            if file.is_file() and not file.is_symlink() and time.time() - file.stat().st_mtime > LEFTOVER_AGE:
                file.unlink()
