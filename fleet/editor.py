"""A worker of Ray Data: one process, one ComfyUI, one photo after the other."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from .errors import FleetError, PhotoError
from .host import Host, find_comfyui
from .photos import open_photo, pair, slug
from .workflow import Workflow

TRIES = 3
"""Times that a photo may end its worker. Ray alone would try for ever."""


@dataclass(frozen=True)
class Order:
    """What all workers are told."""

    workflow: Workflow
    photos: Path
    results: Path
    comfyui: Path
    threads: int
    options: tuple[str, ...]
    """ComfyUI's own."""
    run: str
    """Begins the name of every worker's temporary folder."""

    @property
    def state(self) -> Path:
        return self.results / ".fleet"

    def thumbnail(self, name: str) -> Path:
        return self.state / "thumbnails" / slug(name)[:2] / f"{slug(name)}.jpg"


class Editor:
    """Takes {"text": the job as JSON} and returns {"line": JSON}, its line in the report. Whatever a photo does, it is its own line alone."""

    def __init__(self, order: Order):
        self.order = order
        self.name = f"{platform.node()}:{os.getpid()}"
        self.refusal = ""
        try:
            self.host = self._start_comfyui()
        except (FleetError, PhotoError) as error:
            # Told in place of the first photo: of an error here Ray would print pages.
            self.refusal = f"The worker on {platform.node()} cannot run this workflow: {error}"

    def _start_comfyui(self) -> Host:
        """Raises an error where it lacks a node or a model of the workflow."""
        import ray

        # A node may have its ComfyUI elsewhere than the machine that gives the orders.
        comfyui = find_comfyui() if os.environ.get("COMFYUI_PATH") else self.order.comfyui
        # Ray hides all cards but a worker's own. On a Mac it knows of none.
        cpu = () if ray.get_gpu_ids() or sys.platform == "darwin" else ("--cpu",)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.order.run}-"))
        host = Host(comfyui, folder, self.order.threads, (*cpu, *self.order.options))
        Image.new("RGB", (64, 64)).save(host.photo)
        host.check(self.order.workflow.prompt_of(""), self.order.workflow.save)
        return host

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.refusal:
            return {"line": json.dumps({"refusal": self.refusal})}
        job = json.loads(row["text"])
        workflow = self.order.workflow.with_values(job["values"])
        started = time.monotonic()
        line = {"photo": job["photo"], "result": None, "seconds": 0.0, "worker": self.name, "seed": workflow.seeds(), "error": None}
        try:
            with self._tried(job["photo"]):
                line["result"] = self._edit(workflow, job["photo"], job["stem"])
        except PhotoError as error:
            line["error"] = str(error)
        except Exception as error:
            line["error"] = f"{type(error).__name__}: {error}"
        line |= {"seconds": round(time.monotonic() - started, 3), "key": job["key"], "stamp": job["stamp"]}
        return {"line": json.dumps(line)}

    @contextlib.contextmanager
    def _tried(self, name: str) -> Iterator[None]:
        """Counts on disk how often a photo was begun and not ended: after the last try nobody else is left to tell."""
        tries = self.order.state / "tries" / slug(name)
        tries.parent.mkdir(parents=True, exist_ok=True)
        count = tries.stat().st_size if tries.exists() else 0
        if count >= TRIES:
            raise PhotoError(f"ended its worker {TRIES} times; it may need more memory than there is")
        with open(tries, "a") as file:
            file.write("x")
        try:
            yield
        finally:
            tries.unlink(missing_ok=True)

    def _edit(self, workflow: Workflow, name: str, stem: str) -> str:
        photo = open_photo(self.order.photos / name)
        photo.save(self.host.photo, compress_level=0)
        thumbnail = pair(photo)
        try:
            made = self.host.run(workflow.prompt_of(name), workflow.save)
            target = self.order.results / f"{stem}{made.suffix}"
            with Image.open(made) as result:
                thumbnail = pair(photo, result)
            self._deliver(made, target)
            return target.relative_to(self.order.results).as_posix()
        finally:
            place = self.order.thumbnail(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            thumbnail.save(place, quality=80)

    def _deliver(self, made: Path, target: Path) -> None:
        """Whole or not at all: written beside the results under another name, and renamed."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = self.order.state / "parts" / self.name.replace(":", "-")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(made, "rb") as source, open(part, "wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
            made.unlink()
