"""Test-side custom node: a photo whose first pixel has one of these colours does to its worker what the colour says."""

import errno
import os
import shutil
import signal
import time
from pathlib import Path

MARKS = Path(os.environ.get("LEDITS_TEST_MARKS", "."))
"""A folder in which faults that happen once leave a file."""
KILLS, KILLS_ONCE, FAILS, FILLS_THE_DISK, WAITS, LOOKS = (255, 0, 0), (255, 0, 1), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 1)


def once(name: str) -> bool:
    first = not (MARKS / name).exists()
    (MARKS / name).touch()
    return first


def wait_for_report(patience=120):
    """Until the photo before is in the report."""
    deadline = time.monotonic() + patience
    while not (MARKS / "out" / "report.jsonl").stat().st_size:
        if time.monotonic() > deadline:
            raise ValueError("the photo before is not in the report")
        time.sleep(0.1)


def full(source, target, *_):
    """Half a file, and no room for the rest."""
    target.write(source.read(40))
    target.flush()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Perish:
    CATEGORY = "LEDITS++/test"
    FUNCTION = "look"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "seed": ("INT", {"default": 0, "max": 99})}}

    def look(self, image, seed):
        colour = tuple(round(value) for value in (255 * image[0, 0, 0, :3]).tolist())
        if colour == KILLS or (colour == KILLS_ONCE and once("killed")):
            os.kill(os.getpid(), signal.SIGKILL)
        if colour == FAILS:
            raise ValueError("this photo is green")
        if colour == FILLS_THE_DISK and once("filled"):
            shutil.copyfileobj = full
        if colour == WAITS:
            time.sleep(1)
        if colour == LOOKS:
            wait_for_report()
        return (1 - image,)


NODE_CLASS_MAPPINGS = {"LEDITS_TEST_Perish": Perish}
