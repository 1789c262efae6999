"""`make quality`: scores masks and edits, ours beside others on the same weights.

    python benchmarks/quality/run.py [--subject SUBJECT] [--quick] [--methods NAME ...] [--each N]

Writes benchmarks/results/quality.json, beside it a table, a plot and some edits to look at, and contact sheets under output/quality; for
the other subjects quality-transformer.json and so on. What was made is kept under output/quality and not made again; stop and start it as
you like. --quick makes a few edits of each kind and keeps its figures apart, under output/quality.
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
from benchmarks.quality.subjects import FILES, SUBJECTS, Subject, file_name
from benchmarks.quality.work import Job, Workers
from scripts.paths import CHECKOUT, RESULTS

EACH: dict[Subject, int] = {"unet": 40, "transformer": 10, "scenes": 36}  # an edit by the transformer takes five times as long
QUICK_EACH = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=SUBJECTS, default=SUBJECTS[0])
    parser.add_argument("--quick", action="store_true", help="a few edits of each kind")
    parser.add_argument("--each", type=int, help="edits of each kind")
    parser.add_argument("--methods", nargs="+", choices=list(dict.fromkeys(name for names in METHODS.values() for name in names)))
    arguments = parser.parse_args()
    subject = arguments.subject
    for file in FILES[subject]:
        if not file.exists():
            parser.error(f"{file} is missing: train it first")
    methods = tuple(name for name in METHODS[subject] if name in (arguments.methods or METHODS[subject]))
    if not methods:
        parser.error(f"the methods of the {subject} are {', '.join(METHODS[subject])}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    started = time.monotonic()
    settings = load(subject)
    each = arguments.each or (QUICK_EACH if arguments.quick else EACH[subject])
    jobs = [Job(edit, settings[edit.kind], methods) for edit in make_edits(SCORED, each, subject)]
    with Workers() as workers:
        workers.finish(jobs, "quality")
    whole = each >= EACH[subject] and methods == METHODS[subject]
    write(jobs, subject, methods, RESULTS if whole else FOLDER / "part")
    print(f"all in all {(time.monotonic() - started) / 60:.1f} min")


def write(jobs: list[Job], subject: Subject, methods: tuple[str, ...], folder: Path) -> None:
    """The figures as JSON, table and plot in the folder, and the contact sheets; prints table and paths."""
    from benchmarks.quality import plot, report, sheets

    found, complete = report.figures(jobs, methods), methods == METHODS[subject]
    text = report.table(found)
    if complete:
        lines = report.targets(found, subject)
        text += "\n\n" + "\n".join(f"- {'reached' if reached else 'NOT reached'}: {line}" for line, reached in lines)
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name("quality", subject)
    paths = [folder / f"{name}.{suffix}" for suffix in ("json", "md", "png")]
    paths[0].write_text(json.dumps(found, indent=1) + "\n")
    paths[1].write_text(text + "\n")
    plot.draw(found, paths[2])
    paths += sheets.draw(jobs, methods, FOLDER / file_name("sheets", subject))
    if complete:
        paths.append(folder / f"{name}-edits.{'jpg' if subject == 'scenes' else 'png'}")
        sheets.overview(jobs, methods, paths[-1])
    print(text, *(path.relative_to(CHECKOUT) for path in paths), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        raise SystemExit(130) from None
