"""One edit over a folder of photos: python -m fleet WORKFLOW.json PHOTOS OUT [OPTION ...] [-- COMFYUI'S OPTION ...]

The same command goes on where it was stopped, and tries again what failed. More: docs/fleet.md
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from filelock import FileLock, Timeout

from .editor import Order
from .errors import FleetError
from .host import find_comfyui
from .ledger import Ledger
from .photos import find_photos, read_values, slug
from .progress import Progress
from .report import write_report
from .workflow import Workflow

FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
"""What a system says of a disk on which nothing more can be written."""

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray reads it as it is imported; where it is 0, on any system, all that Ray opens is on 127.0.0.1 alone."""


def parse(words: list[str]) -> argparse.Namespace:
    ours, theirs = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser("python -m fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path, help="a workflow in API format, such as workflows/api/fleet.json")
    parser.add_argument("photos", type=Path, help="the folder of the photos, with its subfolders")
    parser.add_argument("out", type=Path, help="the folder of the results")
    parser.add_argument("--workers", type=int, default=1, help="how many ComfyUIs work at once; 1")
    parser.add_argument("--gpus", type=float, help="cards of each worker; 1 where there is a card, else 0, which is the CPU")
    parser.add_argument("--threads", type=int, help="CPU threads of each worker; OMP_NUM_THREADS, or its share of the cores")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.input=value", help="another value; NODE is an id or a title")
    parser.add_argument("--values", type=Path, metavar="CSV", help="values by photo: a column 'photo', the others NODE.input")
    parser.add_argument("--image", metavar="NODE", help="the node that loads the photo, where there are several")
    parser.add_argument("--save", metavar="NODE", help="the node that saves the result, where there are several")
    parser.add_argument("--again", action="store_true", help="make results anew that another workflow or other values have made")
    parser.add_argument("--address", help="a Ray cluster, such as auto on one of its nodes; otherwise this machine alone")
    options = parser.parse_args(ours)
    options.comfyui = tuple(theirs)
    if not options.threads:
        share = 1 if options.address else max(1, (os.cpu_count() or 1) // options.workers)
        options.threads = int(os.environ.get("OMP_NUM_THREADS") or share)
    return options


def plan(options: argparse.Namespace, results: Path) -> tuple[Workflow, Ledger]:
    """The workflow with its values, and all photos with theirs."""
    workflow = Workflow.from_file(options.workflow, options.image, options.save).with_values(_pairs(options.set))
    ledger = Ledger(results)
    for photo in find_photos(options.photos.resolve(), results):
        ledger.add(photo, workflow.key())
    for name, values in read_values(options.values) if options.values else ():
        ledger.give(name, values, workflow.with_values(values).key())
    ledger.resume(options.again)
    if not ledger.total:
        raise FleetError(f"There is no photo in {options.photos}.")
    return workflow, ledger


def _pairs(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise FleetError(f"--set {word}: write it as NODE.input=value.")
    return dict(word.split("=", 1) for word in words)


def work(options: argparse.Namespace, results: Path) -> int:
    """The exit code: whether a photo failed."""
    comfyui = find_comfyui()
    workflow, ledger = plan(options, results)
    print(f"{ledger.total - ledger.done:,} photos to do, {ledger.done:,} done.", flush=True)
    run = f"ledits-fleet-{slug(str(results))}"
    order = Order(workflow, options.photos.resolve(), results, comfyui, options.threads, options.comfyui, run)
    try:
        if ledger.done < ledger.total:
            edit(order, ledger, options)
    finally:
        for folder in Path(tempfile.gettempdir()).glob(f"{run}-*"):  # a command before that was killed may have left some too
            shutil.rmtree(folder, ignore_errors=True)
        if ledger.done:
            print(f"Report: {write_report(ledger, order.thumbnail)}", flush=True)
    return int(ledger.failed > 0)


def edit(order: Order, ledger: Ledger, options: argparse.Namespace) -> None:
    """Does what is left, and tells how far it is."""
    if not options.address:
        os.environ[LOOPBACK] = "0"
    try:
        from .run import cards_of_each, edit_all, ray_running
    except ImportError as error:
        raise FleetError(f'{error}: install it into the Python of ComfyUI with pip install "ray[data]".') from None
    with ray_running(options.address, options.workers, options.threads):
        gpus = cards_of_each(options.gpus)
        progress = Progress(ledger.total, ledger.done)
        print(f"{options.workers} workers start, {f'with {gpus:g} cards each' if gpus else 'on the CPU'}.", flush=True)
        for line in edit_all(order, ledger, options.workers, gpus):
            ledger.write(line)
            progress.step(ledger.done, ledger.failed)
            if any(text in (line["error"] or "") for text in FULL):
                raise FleetError(f"{line['photo']}: {line['error']}")


def main() -> int:
    # A stopped container ends as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = parse(sys.argv[1:])
    results = options.out.resolve()
    try:
        (results / ".fleet").mkdir(parents=True, exist_ok=True)
        with FileLock(results / ".fleet" / "lock", timeout=0):
            return work(options, results)
    except Timeout:
        print(f"Another run is at work on {results}.", file=sys.stderr)
    except (FleetError, OSError) as error:
        room = ". Make room and give the same command: it goes on where it stopped."
        print(f"{error}{room if any(text in str(error) for text in FULL) else ''}", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    except KeyboardInterrupt:
        print("Stopped. The same command goes on with what is left.", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
