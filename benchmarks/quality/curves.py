"""Success against background over the strength of the edit: one curve for each method, since a single point says little.

    python benchmarks/quality/curves.py [--subject SUBJECT] [--each N]

Each method's own strength is varied around its setting of `make quality`: the scales of guidance, FlowEdit's target guidance, the share
of noise of img2img. Writes quality-curves-SUBJECT.json and .png under benchmarks/results; what was made is kept as there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.quality.edits import SCORED, make_edits
from benchmarks.quality.methods import FLOWEDIT, FOUND, IMG2IMG, METHODS, PUBLISHED, REPAIRED, TRUE_MASK
from benchmarks.quality.report import score, summary
from benchmarks.quality.settings import Setting, load
from benchmarks.quality.subjects import SUBJECTS, file_name
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=SUBJECTS[1:], default="scenes")
    parser.add_argument("--each", type=int, default=EACH, help="edits of each kind")
    arguments = parser.parse_args()
    subject = arguments.subject
    settings, edits = load(subject), make_edits(SCORED, arguments.each, subject)
    methods = [name for name in METHODS[subject] if name in VARIED]
    curves: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    with Workers() as workers:
        for name in methods:
            each = [[Job(edit, one, (name,), full=False) for one in VARIED[name](settings[edit.kind])] for edit in edits]
            for point, jobs in enumerate(zip(*each, strict=True)):
                workers.finish(jobs, f"{name}, point {point + 1}")
                found = summary([score(job, name) for job in jobs])
                keys = ("other_object_kept", "background_psnr_db", "leakage")
                curves[name].append({"success": found["success"]["all"]} | {key: found[key] for key in keys})
    path = RESULTS / f"{file_name('quality-curves', subject)}.json"
    path.write_text(json.dumps({"edits": len(edits), "factors": FACTORS, "strengths": STRENGTHS, "methods": curves}, indent=1) + "\n")
    draw(curves, len(edits), path.with_suffix(".png"))
    print(path, path.with_suffix(".png"), sep="\n")


def draw(curves: dict[str, list[dict[str, Any]]], edits: int, path: Path) -> None:
    """A line for each method from weak to strong; a ring around the setting of the table."""
    from matplotlib import pyplot

    from benchmarks.quality.plot import COLOURS, NAMES

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, points in curves.items():
        places = [(point["background_psnr_db"], point["success"]) for point in points]
        style = "--" if name == TRUE_MASK else "-"
        axes.plot(*zip(*places, strict=True), style, color=COLOURS[name], marker="o", markersize=4, label=NAMES[name])
        if name != IMG2IMG:
            axes.plot(*places[FACTORS.index(1.0)], "o", markersize=11, fillstyle="none", color=COLOURS[name])
    axes.set(xlabel="background PSNR outside the true region, dB", ylabel="share of edits that succeeded", ylim=(-0.03, 1.03))
    axes.set_title(f"{edits} edits at six strengths each; the ring is the table's setting", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
