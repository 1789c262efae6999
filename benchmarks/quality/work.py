"""Makes what is missing: edits by methods, in two processes of one thread each, which is the fastest use of two cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace

import numpy as np

from .edits import Edit, taken_back
from .result import Result
from .scores import Overlap, overlap, psnr
from .settings import Setting, edit_requests
from .store import Entry, Place

PROCESSES = 2
TAKEN_BACK = 4
"""So many edits of each kind are also taken back, where that can be asked for."""


@dataclass(frozen=True)
class Job:
    """One edit by some methods, which share what they can."""

    edit: Edit
    setting: Setting
    methods: tuple[str, ...]
    full: bool = True

    def place(self, method: str) -> Place:
        return Place.of(method, self.setting, self.edit, self.full)

    def missing(self, claimed: set[Place]) -> Job:
        """The same job with only those methods whose result is neither kept nor claimed by another job; claims them."""
        methods = tuple(method for method in self.methods if (place := self.place(method)) not in claimed and not place.is_done())
        claimed.update(self.place(method) for method in methods)
        return replace(self, methods=methods)


class Workers:
    """The processes, for as long as they are needed; they start at the first job."""

    def __init__(self, processes: int = PROCESSES):
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def finish(self, jobs: Sequence[Job], title: str = "") -> None:
        """Makes everything that is missing and says how far it is."""
        claimed: set[Place] = set()
        waiting = [job for job in (job.missing(claimed) for job in jobs) if job.methods]
        started, count = time.monotonic(), len(jobs) - len(waiting)
        if title and count:
            print(f"{title}: {count} of {len(jobs)} edits are there already", flush=True)
        # Places are named here, once for all: sources may change while a run goes on.
        futures = {self._pool.submit(make, job, [job.place(method) for method in job.methods]): job for job in waiting}
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            if title:
                left = (time.monotonic() - started) / done * (len(waiting) - done) / 60
                print(f"{title}: {count + done:3}/{len(jobs)}  {futures[future].edit.name}  {left:4.1f} min left", flush=True)


def make(job: Job, places: Sequence[Place]) -> None:
    """Runs the job in this process and keeps its results, one place for each method."""
    from .checkpoint import latent_of, picture_of
    from .methods import method

    subject = job.setting.subject
    latent_of(job.edit, subject)  # every method begins with it, so it is nobody's time
    for name, place in zip(job.methods, places, strict=True):
        run = method(name)
        started = time.process_time()
        result = run(job.edit, job.setting, job.full)
        seconds = round(time.process_time() - started, 2)
        masks = result.masks.get(job.setting.mask_mode)
        shares = None if masks is None else masks.float().mean(0).amax(0).numpy()
        picture, returned = picture_of(result.samples, subject), None
        if job.full and job.edit.number < TAKEN_BACK and (back := taken_back(job.edit, picture, name)) is not None:
            returned = psnr(picture_of(run(back, job.setting).samples, subject), job.edit.photo)
        place.write(picture, shares, Entry(_overlaps(job, result), result.replay_error, seconds, returned))


def _overlaps(job: Job, result: Result) -> dict[str, Overlap]:
    """By mask mode, means over steps and concepts."""
    found, requests = {}, edit_requests(job.edit, job.setting)
    for mode, masks in result.masks.items():
        grid = result.grid if mode == "attention" else tuple(masks.shape[-2:])
        # Without the words of what is there, only what comes has masks.
        asked = requests if masks.shape[1] == len(requests) else [request for request in requests if request.add]
        each = [asdict(overlap(masks[:, number].numpy(), request.change.region, grid)) for number, request in enumerate(asked)]
        found[mode] = Overlap(**{name: float(np.mean([one[name] for one in each])) for name in each[0]})
    return found


def _start() -> None:
    """In each process: the keyboard belongs to the parent, and the host's chatter to nobody."""
    import logging

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.disable(logging.WARNING)
