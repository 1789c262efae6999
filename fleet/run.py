"""The photos through Ray Data: a pool of workers that keep their ComfyUI, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, ExecutionResources
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError

from .editor import Editor, Order
from .errors import FleetError
from .ledger import Ledger, Line

STORE = 100_000_000
"""Bytes of Ray's object store on one machine: only names go through it."""
PATIENCE = 900
"""Seconds in which all workers must have started their ComfyUI."""
ROUND = 1000
"""Photos of a worker after which all start anew: until then Ray Data keeps some kilobytes about each."""
WAITING = 1_000_000
"""Bytes of jobs that wait for a worker, of some hundred each."""


@contextlib.contextmanager
def ray_running(address: str | None, workers: int, threads: int) -> Iterator[None]:
    """Joins a cluster, or starts Ray on this machine alone, where nobody else can reach it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    alone: dict[str, Any] = {"num_cpus": workers * threads, "object_store_memory": STORE}
    joined = {"runtime_env": {"py_modules": [str(Path(__file__).parent)]}}
    dashboard = None if address else False
    try:
        ray.init(
            address or "local", include_dashboard=dashboard, log_to_driver=False, logging_level="critical", **(joined if address else alone)
        )
    except Exception as error:
        raise FleetError(f"Ray does not start{f' at {address}' if address else ''}: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def cards_of_each(wanted: float | None) -> float:
    """How many cards a worker gets: what is wanted, else one if there are cards."""
    return (1.0 if ray.cluster_resources().get("GPU") else 0.0) if wanted is None else wanted


def edit_all(order: Order, ledger: Ledger, workers: int, gpus: float, editor: type[Editor] = Editor) -> Iterator[Line]:
    """The line of every photo as it is done, until each has one."""
    room = _room(order.threads, gpus)
    if workers > room:
        raise FleetError(
            f"{workers} workers are wanted, each with {gpus:g} cards and {order.threads} CPU threads, but Ray has room for {room}: "
            "take fewer --workers, --gpus or --threads."
        )
    shutil.rmtree(order.state / "tries", ignore_errors=True)
    while ledger.done < ledger.total:
        before = ledger.done
        try:
            yield from _edit_once(order, ledger, min(workers, ledger.total - before, max(1, _room(order.threads, gpus))), gpus, editor)
        except ExecutionTimeoutError:
            pass  # a photo waits for a worker on a node that is gone
        except RayError as error:
            raise FleetError(f"Ray cannot go on: {error}") from None
        gc.collect()  # Ray Data's record of the round hangs together in circles
        if ledger.done == before:
            raise FleetError("No worker has done a photo. What they said is in Ray's logs, under /tmp/ray/session_latest/logs.")


def _room(threads: int, gpus: float) -> int:
    """How many workers fit on the nodes that are there."""
    there = ray.cluster_resources()
    return int(min(there.get("CPU", 0) / threads, there.get("GPU", 0) / gpus if gpus else math.inf))


def _edit_once(order: Order, ledger: Ledger, workers: int, gpus: float, editor: type[Editor]) -> Iterator[Line]:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A photo is a task of its own, told of as soon as it is done.
    context.target_max_block_size = 1
    # No photo before all workers have shown that they can run the workflow.
    context.wait_for_min_actors_s = PATIENCE
    # What is lost is done in another round.
    context.max_errored_blocks = -1
    # Not all jobs are read at once: each that waits costs memory.
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=WAITING)
    jobs = ray.data.read_text(_write_jobs(order, ledger, workers), num_cpus=0)
    pool = ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    done = jobs.map(editor, fn_constructor_args=(order,), compute=pool, num_cpus=order.threads, num_gpus=gpus)
    # As rows, Ray would hold back each line until the next is there.
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
        for text in batch["line"]:
            line = json.loads(text)
            if "refusal" in line:
                raise FleetError(line["refusal"])
            yield line


def _write_jobs(order: Order, ledger: Ledger, workers: int) -> list[str]:
    """Files of a round's jobs, a line each, which the nodes read bit by bit."""
    folder = order.state / "jobs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files: list[str] = []
    left = itertools.islice(ledger.left(), workers * ROUND)
    while chunk := list(itertools.islice(left, ROUND)):
        file = folder / f"{len(files):06}.jsonl"
        file.write_text("\n".join(chunk))
        files.append(str(file))
    return files
