"""Success against background over the strength of the edit: one curve for each method, since a single point says little.

    python benchmarks/quality/curves.py [--subject SUBJECT] [--each N]

Each method's own strength is varied around its setting of `make quality`: the scales of guidance, FlowEdit's target guidance, the share
of noise of img2img. With the strength that does best for each kind on half of the edits the other half makes the second table. Writes
quality-curves-SUBJECT.json and .png under benchmarks/results; what was made is kept as there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.quality.by_kind import Strengths, choose
from benchmarks.quality.edits import SCORED, Edit, make_edits
from benchmarks.quality.methods import FLOWEDIT, FOUND, IMG2IMG, METHODS, PUBLISHED, REPAIRED, TRUE_MASK
from benchmarks.quality.report import Score, score, summary
from benchmarks.quality.settings import Setting, load
from benchmarks.quality.subjects import SUBJECTS, Subject, file_name
from benchmarks.quality.work import Job, Workers
from scripts.paths import RESULTS

EACH = 6
FACTORS = (0.4, 0.7, 1.0, 1.4, 2.0, 2.8)
STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def _scaled(setting: Setting, factor: float) -> Setting:
    return replace(setting, scale=factor * setting.scale, remove_scale=factor * setting.remove_scale)


VARIED: dict[str, Callable[[Setting], list[Setting]]] = {
    **dict.fromkeys((FOUND, PUBLISHED, TRUE_MASK, REPAIRED), lambda setting: [_scaled(setting, factor) for factor in FACTORS]),
    # Its guidance is strong already: by the root of the factors.
    FLOWEDIT: lambda setting: [replace(setting, target_cfg=1 + factor**0.5 * (setting.target_cfg - 1)) for factor in FACTORS],
    IMG2IMG: lambda setting: [replace(setting, strength=strength) for strength in STRENGTHS],
}
"""Settings of each method from weak to strong."""


def measure(workers: Workers, edits: Sequence[Edit], subject: Subject) -> Mapping[str, Strengths]:
    """By method."""
    settings = load(subject)
    points: dict[str, list[list[Score]]] = {}
    for name in (name for name in METHODS[subject] if name in VARIED):
        each = [[Job(edit, one, (name,), full=False) for one in VARIED[name](settings[edit.kind])] for edit in edits]
        points[name] = []
        for number, jobs in enumerate(zip(*each, strict=True), 1):
            workers.finish(jobs, f"{name}, point {number}")
            points[name].append([score(job, name) for job in jobs])
    return points


def figures(points: Mapping[str, Strengths]) -> dict[str, list[dict[str, Any]]]:
    keys = ("other_object_kept", "background_psnr_db", "leakage")
    found = {name: [summary(scores) for scores in strengths] for name, strengths in points.items()}
    return {name: [{"success": one["success"]["all"]} | {key: one[key] for key in keys} for one in each] for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=SUBJECTS[1:], default="scenes")
    parser.add_argument("--each", type=int, default=EACH, help="edits of each kind")
    arguments = parser.parse_args()
    subject = arguments.subject
    edits = make_edits(SCORED, arguments.each, subject)
    with Workers() as workers:
        points = measure(workers, edits, subject)
    curves = figures(points)
    path = RESULTS / f"{file_name('quality-curves', subject)}.json"
    setting = next(iter(load(subject).values()))  # one for all kinds
    content = {
        "edits": len(edits),
        "factors": FACTORS,
        "strengths": STRENGTHS,
        "one_setting": {name: VARIED[name](setting).index(setting) for name in curves},
        "methods": curves,
        "tuned": choose(points),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    draw(curves, content["one_setting"], len(edits), path.with_suffix(".png"))
    print(path, path.with_suffix(".png"), sep="\n")


def draw(curves: dict[str, list[dict[str, Any]]], one_setting: dict[str, int], edits: int, path: Path) -> None:
    """A line for each method from weak to strong; a ring around the setting of the table, whose number is given."""
    from matplotlib import pyplot

    from benchmarks.quality.plot import COLOURS, NAMES

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, points in curves.items():
        places = [(point["background_psnr_db"], point["success"]) for point in points]
        style = "--" if name == TRUE_MASK else "-"
        axes.plot(*zip(*places, strict=True), style, color=COLOURS[name], marker="o", markersize=4, label=NAMES[name])
        axes.plot(*places[one_setting[name]], "o", markersize=11, fillstyle="none", color=COLOURS[name])
    axes.set(xlabel="background PSNR outside the true region, dB", ylabel="share of edits that succeeded", ylim=(-0.03, 1.03))
    axes.set_title(f"{edits} edits at six strengths each; the ring is the table's setting", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
