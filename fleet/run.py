"""The photos through Ray Data: a pool of workers that keep their ComfyUI, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext

from .editor import Editor, Order
from .errors import FleetError
from .ledger import Ledger, Line

STORE = 100_000_000
"""Bytes of Ray's object store on one machine: only names go through it."""
PATIENCE = 900
"""Seconds in which all workers must have started their ComfyUI."""
JOBS_IN_A_FILE = 1000


@contextlib.contextmanager
def ray_running(address: str | None, workers: int, threads: int) -> Iterator[None]:
    """Joins a cluster, or starts Ray on this machine alone, where nobody else can reach it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    alone: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "num_cpus": workers * threads + 1, "object_store_memory": STORE}
    joined = {"runtime_env": {"py_modules": [str(Path(__file__).parent)]}}
    dashboard = None if address else False
    ray.init(address or "local", include_dashboard=dashboard, log_to_driver=False, logging_level="error", **(joined if address else alone))
    try:
        yield
    finally:
        ray.shutdown()


def cards_of_each(workers: int, threads: int, wanted: float | None) -> float:
    """How many cards each worker gets. Raises an error where workers would wait for ever for what is not there."""
    there = ray.cluster_resources()
    gpus = (1.0 if there.get("GPU") else 0.0) if wanted is None else wanted
    for kind, each, name in (("GPU", gpus, "cards"), ("CPU", threads, "CPU threads")):
        if workers * each > there.get(kind, 0):
            raise FleetError(
                f"{workers} workers with {each:g} {name} each need {workers * each:g}, but Ray sees {there.get(kind, 0):g}: "
                f"take fewer --workers, or other --{'gpus' if kind == 'GPU' else 'threads'}."
            )
    return gpus


def edit_all(order: Order, ledger: Ledger, workers: int, gpus: float, editor: type[Editor] = Editor) -> Iterator[Line]:
    """The line of every photo as it is done, until each has one."""
    while ledger.done < ledger.total:
        yield from _edit_once(order, ledger, min(workers, ledger.total - ledger.done), gpus, editor)
        # What has no line now was lost with its worker or node.
        yield from ledger.count_tries()


def _edit_once(order: Order, ledger: Ledger, workers: int, gpus: float, editor: type[Editor]) -> Iterator[Line]:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A photo is a task of its own, told of as soon as it is done.
    context.target_max_block_size = 1
    # No photo before all workers have shown that they can run the workflow.
    context.wait_for_min_actors_s = PATIENCE
    # A task that is lost with its worker is not waited for; it is tried again at the end, and counted.
    context.max_errored_blocks = -1
    pool = ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    jobs = ray.data.read_text(_write_jobs(order, ledger), ray_remote_args={"num_cpus": 0.1})
    lines = jobs.map(
        editor, fn_constructor_args=(order,), compute=pool, num_cpus=order.threads, num_gpus=gpus, max_restarts=-1, max_task_retries=0
    )
    for row in lines.iter_rows():
        yield json.loads(row["line"])


def _write_jobs(order: Order, ledger: Ledger) -> list[str]:
    """Files of jobs, a line each, which the nodes read bit by bit."""
    folder = order.state / "jobs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    left, files = ledger.left(), []
    while chunk := list(itertools.islice(left, JOBS_IN_A_FILE)):
        file = folder / f"{len(files):06}.jsonl"
        file.write_text("\n".join(chunk))
        files.append(str(file))
    return files
