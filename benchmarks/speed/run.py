"""`make bench`: speed and memory, ours beside diffusers' pipeline and beside the bare network calls; python benchmarks/speed/run.py [--quick]

Writes benchmarks/results/speed.json, a table and a plot beside it. Every subject is measured in a process of its own, times with one thread and memory
with all; what was measured is kept under output/speed until the run is finished, so that one that was stopped goes on where it was. Begun
again, a finished run measures everything anew. --quick measures less and keeps its figures under output/speed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.speed import report
from benchmarks.speed.plan import CARD, FULL, QUICK, Plan, Times
from scripts.paths import CHECKOUT, OUTPUT, RESULTS

FOLDER = OUTPUT / "speed"
IMPORTS = 4


@dataclass(frozen=True)
class Parts:
    """What was measured so far by these very sources, one file for each part."""

    folder: Path
    key: str

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Parts:
        found = hashlib.sha256(repr(plan).encode())
        for part in ("ledits", "nodes", "benchmarks/speed", "benchmarks/reference", "scripts/host"):
            for file in sorted((CHECKOUT / part).rglob("*.py")):
                found.update(file.read_bytes())
        return cls(folder, found.hexdigest())

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        place = self.folder / f"{name.replace(' ', '-')}.json"
        if place.exists():
            kept = json.loads(place.read_text())
            if kept["key"] == self.key:
                print(f"{name}: measured already", flush=True)
                return kept["found"]
        print(f"{name} …", flush=True)
        started = time.monotonic()
        found = measure()
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"key": self.key, "found": found}))
        return found


def measured(device: str, *arguments: str, threads: int = 1, wanted: str = "", default_attention: bool = False) -> Any:
    """What benchmarks/speed/measure.py finds in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "LEDITS_DEVICE": device}
    environment["LEDITS_PYTORCH_ATTENTION"] = str(int(not default_attention))
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.measure", *arguments], input=wanted, stdout=subprocess.PIPE, text=True, env=environment
    )
    if child.returncode:
        raise SystemExit(f"measuring {' '.join(arguments)} failed ({child.returncode}); what was measured before is kept")
    return json.loads(child.stdout.splitlines()[-1])


def timed(device: str, times: Times) -> dict[str, Any]:
    wanted = json.dumps(times.plain())
    return measured(device, "times", times.subject, wanted=wanted, default_attention=times.default_attention)


def importing() -> dict[str, float]:
    """The first start after an installation, when Python compiles the pack, and the median of later ones."""
    with tempfile.TemporaryDirectory(prefix="ledits-bench-") as compiled:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        command = [sys.executable, "-m", "benchmarks.speed.importing"]
        runs = [subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True) for _ in range(IMPORTS)]
    first, *later = (float(child.stdout.splitlines()[-1]) for child in runs)
    return {"import_s": round(median(later), 4), "first_import_s": round(first, 4)}


def demo() -> dict[str, float]:
    """`make demo` with a ComfyUI that is set up: all of it, and its workflow alone."""
    started = time.monotonic()
    child = subprocess.run([sys.executable, "-m", "scripts.demo"], stdout=subprocess.PIPE, text=True, check=True)
    printed = json.loads(child.stdout.splitlines()[-1])
    return {"ours_s": round(time.monotonic() - started, 1), "workflow_s": printed["seconds"], "calls": printed["network_calls"]}


def networks(plan: Plan, parts: Parts, device: str) -> dict[str, Any]:
    """By subject its times and its memory."""
    found: dict[str, Any] = {}
    cores = psutil.cpu_count(logical=False) or 1
    for times in plan.times:
        name = f"times {times.subject}{' default attention' if times.default_attention else ''}"
        one = parts.get(name, lambda times=times: timed(device, times))
        if times.default_attention:
            rows = found[times.subject]["rows"]
            rows |= {f"{row}_default_attention": values | {"attention": one["attention"]} for row, values in one["rows"].items()}
        else:
            found[times.subject] = one
    for request in plan.memory:
        if device == "cpu" and free_gb() < request.needs_gb:
            print(f"memory {request.subject}: left out, it needs {request.needs_gb:.0f} GB and {free_gb():.0f} are free", flush=True)
            continue
        name = request.subject
        memory = {
            who: parts.get(f"memory {name} {who}", lambda name=name, who=who: measured(device, "memory", name, who, threads=cores))
            for who in request.who
        }
        found.setdefault(name, {})["memory"] = memory
    return found


def free_gb() -> float:
    return psutil.virtual_memory().available / 1e9


def has_card() -> bool:
    return (
        "True"
        in subprocess.run([sys.executable, "-c", "import torch; print(torch.cuda.is_available())"], capture_output=True, text=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    started = time.monotonic()
    plan, name = (QUICK, "quick") if arguments.quick else (FULL, "full")
    parts = Parts.of(plan, FOLDER / name)
    found: dict[str, Any] = {"import": parts.get("import", importing)}
    if plan.demo:
        found["demo"] = parts.get("demo", demo)
    found["networks"] = networks(plan, parts, "cpu")
    if not arguments.quick and has_card():
        found["card"] = networks(CARD, parts, "cuda")
    paths = write(found, plan, FOLDER if arguments.quick else RESULTS)
    print(f"all in all {(time.monotonic() - started) / 60:.1f} min", *(path.relative_to(CHECKOUT) for path in paths), sep="\n")
    shutil.rmtree(parts.folder)


def write(found: dict[str, Any], plan: Plan, folder: Path) -> list[Path]:
    """Writes all of it into the folder and prints table and targets."""
    from benchmarks.speed import plot  # matplotlib takes seconds

    result = report.figures(found, plan)
    tables = [
        *(report.table(name, one) for name, one in report.timed(result)),
        *([report.size_table(result)] if report.by_size(result) else []),
        report.memory_table(result),
    ]
    text = "\n\n".join([*tables, "\n".join(report.verdicts(result))])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"speed.{kind}" for kind in ("json", "md", "png")]
    paths[0].write_text(json.dumps(result, indent=1) + "\n")
    paths[1].write_text(text + "\n")
    plot.draw(result, paths[2])
    print(text)
    return paths


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        raise SystemExit(130) from None
