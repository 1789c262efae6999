"""`make quality`: scores masks and edits on drawn pictures, ours beside diffusers' on the same weights.

    python benchmarks/quality/run.py [--quick] [--methods NAME ...] [--each N]

Writes benchmarks/results/quality.json, beside it a table, a plot and some edits to look at, and contact sheets under output/quality. What was made is kept under
output/quality and not made again; stop and start it as you like. --quick makes a few edits of each kind and keeps its figures
apart, under output/quality.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from benchmarks.quality.edits import SCORED, make_edits
from benchmarks.quality.methods import METHODS
from benchmarks.quality.settings import load
from benchmarks.quality.store import FOLDER
from benchmarks.quality.work import Job, Workers
from scripts.paths import CHECKOUT, RESULTS

EACH, QUICK_EACH = 40, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few edits of each kind")
    parser.add_argument("--each", type=int, help="edits of each kind")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    started = time.monotonic()
    settings = load()
    each = arguments.each or (QUICK_EACH if arguments.quick else EACH)
    jobs = [Job(edit, settings[edit.kind], tuple(arguments.methods)) for edit in make_edits(SCORED, each)]
    with Workers() as workers:
        workers.finish(jobs, "quality")
    whole = each >= EACH and len(arguments.methods) == len(METHODS)
    write(jobs, tuple(arguments.methods), RESULTS if whole else FOLDER / "part")
    print(f"all in all {(time.monotonic() - started) / 60:.1f} min")


def write(jobs: list[Job], methods: tuple[str, ...], folder: Path) -> None:
    """The figures as JSON, table and plot in the folder, and the contact sheets; prints table and paths."""
    from benchmarks.quality import plot, report, sheets

    found = report.figures(jobs, methods)
    text = report.table(found)
    if set(METHODS) <= set(methods):
        text += "\n\n" + "\n".join(f"- {'reached' if reached else 'NOT reached'}: {line}" for line, reached in report.targets(found))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quality.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "quality.md").write_text(text + "\n")
    plot.draw(found, folder / "quality.png")
    paths = [folder / "quality.json", folder / "quality.md", folder / "quality.png", *sheets.draw(jobs, methods, FOLDER / "sheets")]
    if set(METHODS) <= set(methods):
        sheets.overview(jobs, folder / "quality-edits.png")
        paths.append(folder / "quality-edits.png")
    print(text, *(path.relative_to(CHECKOUT) for path in paths), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        raise SystemExit(130) from None
