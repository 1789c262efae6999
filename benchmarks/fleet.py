"""Many photos: how many an hour beside a plain loop, what Ray adds to each, and the memory of the process that gives the orders.

    make bench-fleet

Photos are drawings, edited by the shipped workflow with the small checkpoint. Rows are photos that nothing is done to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.host.comfy_server import lay_out, python_path_without_checkout

import psutil
from PIL import Image

from fleet.__main__ import LOOPBACK
from fleet.editor import Editor, Order
from fleet.host import Host, find_comfyui
from fleet.ledger import Ledger
from fleet.photos import Photo, find_photos, open_photo
from fleet.workflow import Workflow
from scripts.drawn_edit import on_the_drawing
from scripts.paths import CHECKOUT, RESULTS
from scripts.shipped.drawn import SCENES

WORKFLOW = "fleet.json"
ROWS = 100_000
MARKS = (1, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, ROWS)
"""Rows after which memory is looked at."""
MEGABYTE = 2**20
EQUAL = {"RAY_worker_niceness": "0"}
"""Otherwise Ray's workers let other programs go first, and the load of the machine would count as theirs."""


class Idle(Editor):
    """A worker that does nothing."""

    def __init__(self, order: Order):
        pass

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        job = json.loads(row["text"])
        line = {"photo": job["photo"], "result": "", "seconds": 0.0, "worker": "idle", "seed": {}, "error": None}
        return {"line": json.dumps(line | {"key": job["key"], "stamp": job["stamp"]})}


def draw_photos(folder: Path, count: int) -> None:
    """Different files, so that nothing comes from a cache."""
    folder.mkdir()
    scenes = list(SCENES.values())
    for number in range(count):
        image = scenes[number % len(scenes)].image().copy()
        image[0, 0] = number
        Image.fromarray(image).save(folder / f"{number:03}.png")


def plain_loop(photos: Path, base: Path, out: Path) -> None:
    """One ComfyUI, one photo after the other, and a line for each."""
    workflow = Workflow.from_file(base / WORKFLOW)
    host = Host(find_comfyui(), out / "own", 1, ("--cpu", "--base-directory", str(base)))
    with open(out / "report.jsonl", "w") as report:
        for photo in find_photos(photos, out):
            open_photo(photos / photo.name).save(host.photo, compress_level=0)
            host.run(workflow.prompt_of(photo.name), workflow.save)
            print(photo.name, file=report, flush=True)


def follow(command: list[str], report: Path) -> dict[str, float]:
    """Photos an hour between the first line of the report and the last, and CPU seconds a photo of all processes, start and all."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= EQUAL | {"PYTHONPATH": python_path_without_checkout()}
    process = psutil.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL)
    spent: dict[int, float] = {}
    times: list[float] = []
    while process.poll() is None:
        count = report.read_bytes().count(b"\n") if report.exists() else 0
        times += [time.monotonic()] * (count - len(times))
        for each in [process, *process.children(recursive=True)]:
            try:
                used = each.cpu_times()
                spent[each.pid] = used.user + used.system
            except psutil.NoSuchProcess:
                pass
        time.sleep(0.1)
    return {
        "photos_an_hour": round(3600 * (len(times) - 1) / (times[-1] - times[0]), 1),
        "cpu_seconds_a_photo": round(sum(spent.values()) / len(times), 2),
    }


def empty_rows(count: int, minutes: float) -> dict[str, Any]:
    """What Ray Data and the report cost for so many photos, on one worker, and the memory of this process on the way. Ends early when time is up."""
    os.environ.update(EQUAL | {LOOPBACK: "0"})
    from fleet.run import edit_all, ray_running

    memory, started = {}, 0.0
    with tempfile.TemporaryDirectory() as name:
        ledger = Ledger(Path(name))
        for number in range(count):
            ledger.add(Photo(f"{number:06}.png", f"{number:06}", "0"), "0")
        ledger.resume(False)
        with ray_running(None, 1, 1):
            order = Order(Workflow({}, "", ""), Path(name), Path(name), Path(name), 1, (), "")
            for line in edit_all(order, ledger, 1, 0, Idle):
                ledger.write(line)
                started = started or time.monotonic()
                if ledger.done in MARKS:
                    memory[str(ledger.done)] = round(psutil.Process().memory_info().rss / MEGABYTE)
                if time.monotonic() - started > 60 * minutes:
                    break
    return {
        "photos": count,
        "done": ledger.done,
        "ms_a_row": round(1000 * (time.monotonic() - started) / ledger.done, 2),
        "memory_mb": memory,
    }


def measure_photos(count: int) -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="ledits-bench-") as name:
        folder = Path(name)
        lay_out(folder / "base")
        shipped = json.loads((CHECKOUT / "workflows" / "api" / WORKFLOW).read_text())
        (folder / "base" / WORKFLOW).write_text(json.dumps(on_the_drawing(shipped)))
        draw_photos(folder / "photos", count)
        for label, workers in (("plain loop", 0), ("1 worker", 1), ("2 workers", 2)):
            out = folder / label
            out.mkdir()
            ours = [
                "-m",
                "fleet",
                folder / "base" / WORKFLOW,
                folder / "photos",
                out,
                "--workers",
                workers,
                "--threads",
                1,
                "--",
                "--base-directory",
                folder / "base",
            ]
            plain = ["-m", "benchmarks.fleet", "--plain", folder / "photos", folder / "base", out]
            command = [sys.executable, *map(str, ours if workers else plain)]
            found[label] = follow(command, out / "report.jsonl")
            print(label, found[label], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40, help="how many are edited by each")
    parser.add_argument("--minutes", type=float, default=60, help="the longest that the empty rows may take")
    parser.add_argument("--only", choices=("speed", "rows"), help="keep the other part of the results")
    parser.add_argument("--plain", type=Path, nargs=3, metavar=("PHOTOS", "BASE", "OUT"), help="only the plain loop")
    arguments = parser.parse_args()
    if arguments.plain:
        return plain_loop(*arguments.plain)
    file = RESULTS / "fleet.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    if arguments.only != "rows":
        results["speed"] = measure_photos(arguments.photos)
    if arguments.only != "speed":
        results["rows"] = empty_rows(ROWS, arguments.minutes)
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
