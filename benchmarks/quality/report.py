"""From results to figures: what benchmarks/results/ holds of a subject, the table, and what was to be reached."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .edits import Edit
from .judge import judge
from .methods import FOUND, INPAINT, METHODS, OURS, REPAIRED, SHIPPED, TRUE_MASK, TRUE_ONE
from .scores import background_psnr, mean_change
from .settings import MASK_MODES
from .store import Entry
from .subjects import Subject
from .verdict import Verdict
from .work import Job


@dataclass(frozen=True)
class Score:
    """One edit by one method, judged."""

    edit: Edit
    verdict: Verdict
    psnr: float
    changes: tuple[float, float]
    entry: Entry


@functools.lru_cache(maxsize=4096)
def score(job: Job, method: str) -> Score:
    place = job.place(method)
    picture, edit = place.picture(), job.edit
    return Score(
        edit,
        judge(job.setting.subject, edit, picture),
        background_psnr(picture, edit.photo, edit.region),
        mean_change(picture, edit.photo, edit.region),
        place.entry(),
    )


def figures(jobs: Sequence[Job], methods: Sequence[str]) -> dict[str, Any]:
    """The content of a subject's JSON file under benchmarks/results/."""
    return {"edits": len(jobs), "methods": {method: summary([score(job, method) for job in jobs]) for method in methods}}


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """One method's figures; None where there is nothing to measure."""
    kinds = dict.fromkeys(one.edit.kind for one in scores)
    success = {kind: _mean(one.verdict.success for one in scores if one.edit.kind == kind) for kind in kinds}
    overlaps = {mode: [one.entry.overlaps[mode] for one in scores if mode in one.entry.overlaps] for mode in MASK_MODES}
    errors = [one.entry.replay_error for one in scores if one.entry.replay_error is not None]
    masks = {
        name: {mode: _mean(getattr(one, name) for one in found) for mode, found in overlaps.items()}
        for name in ("iou", "ceiling", "outside", "missed")
    }
    return {
        "iou": masks["iou"],
        "iou_ceiling": masks["ceiling"],
        "mask_outside_region": masks["outside"],
        "region_missed": masks["missed"],
        "iou_of_what_is_there": _overlap_of_what_is_there(scores),
        "success": success | {"all": _mean(one.verdict.success for one in scores)},
        "other_object_kept": _mean(one.verdict.others_kept for one in scores if one.verdict.others_kept is not None),
        "background_psnr_db": _mean(one.psnr for one in scores),
        "background_psnr_db_by_kind": {kind: _mean(one.psnr for one in scores if one.edit.kind == kind) for kind in kinds},
        "leakage": _leakage(scores),
        "return_psnr_db": _mean(one.entry.return_psnr for one in scores if one.entry.return_psnr is not None),
        "replay_max_abs_error": max(errors) if errors else None,
        "seconds": _mean(one.entry.seconds for one in scores),
    }


def _leakage(scores: Sequence[Score]) -> float:
    """Change outside the regions over change inside, both means over the edits."""
    inside, outside = np.mean([one.changes for one in scores], 0)
    return round(float(outside / inside), 4)


def _overlap_of_what_is_there(scores: Sequence[Score]) -> list[float] | None:
    """IoU of the attention masks and its ceiling where the thing that changes is in the photo: only there its words have a place."""
    found = [
        one.entry.overlaps["attention"] for one in scores if "attention" in one.entry.overlaps and all(c.before for c in one.edit.changes)
    ]
    return [_mean(one.iou for one in found), _mean(one.ceiling for one in found)] if found else None


def table(found: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    kinds = list(next(iter(found["methods"].values()))["success"])
    head = ["", *kinds, "other kept", "background dB", *(f"IoU {mode} / ceiling" for mode in MASK_MODES), "replay error"]
    rows = [head, ["---"] * len(head)]
    for method, one in found["methods"].items():
        success = [_shown(one["success"][kind]) for kind in kinds]
        overlaps = ["" if one["iou"][mode] is None else f"{one['iou'][mode]:.2f} / {one['iou_ceiling'][mode]:.2f}" for mode in MASK_MODES]
        error = one["replay_max_abs_error"]
        rows.append(
            [
                method.replace("_", " "),
                *success,
                _shown(one["other_object_kept"]),
                _shown(one["background_psnr_db"], 1),
                *overlaps,
                "" if error is None else f"{error:.1e}",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def targets(found: dict[str, Any], subject: Subject) -> list[tuple[str, bool]]:
    """What was to be reached, with the figures, and whether it was."""
    return {"unet": _unet_targets, "transformer": _transformer_targets, "scenes": _scenes_targets}[subject](found)


def _transformer_targets(found: dict[str, Any]) -> list[tuple[str, bool]]:
    ours, ceiling = (found["methods"][name] for name in (FOUND, TRUE_MASK))
    return _found_targets(ours, ceiling)


def _scenes_targets(found: dict[str, Any]) -> list[tuple[str, bool]]:
    methods = found["methods"]
    ours, psnr = methods[FOUND], methods[FOUND]["background_psnr_db"]
    lines = [
        *_found_targets(ours, methods[TRUE_MASK]),
        _share_of_ceiling("attention IoU where a thing is there", *ours["iou_of_what_is_there"], 0.8),
    ]
    for name in METHODS["scenes"]:
        if name not in (FOUND, TRUE_MASK, INPAINT):
            other, theirs = methods[name]["success"]["all"], methods[name]["background_psnr_db"]
            line = f"success {ours['success']['all']:.2f} at {psnr:.1f} dB, {name} {other:.2f} at {theirs:.1f}"
            lines.append((line, ours["success"]["all"] >= other))
    return lines


def _found_targets(found: dict[str, Any], ceiling: dict[str, Any]) -> list[tuple[str, bool]]:
    """Of a place that is found, with one setting for all kinds."""
    kept, psnr = found["other_object_kept"], found["background_psnr_db"]
    return [
        _success_of_ceiling(found, ceiling, 0.9, "a place that is found"),
        _overlap_of_ceiling(found, 0.8),
        (f"other object kept {kept:.2f}, at least 0.95", kept >= 0.95),
        (f"background {psnr:.1f} dB, at least 30", psnr >= 30),
    ]


def _success_of_ceiling(ours: dict[str, Any], ceiling: dict[str, Any], share: float, who: str = "ours") -> tuple[str, bool]:
    success, best = ours["success"]["all"], ceiling["success"]["all"]
    return f"{who} succeeds in {success:.2f}, at least {share} of {best:.2f} inside the true regions", success >= share * best


def _overlap_of_ceiling(ours: dict[str, Any], share: float) -> tuple[str, bool]:
    return _share_of_ceiling("attention IoU", ours["iou"]["attention"], ours["iou_ceiling"]["attention"], share)


def _share_of_ceiling(what: str, overlap: float, best: float, share: float) -> tuple[str, bool]:
    return f"{what} {overlap:.2f}, at least {share} of its ceiling {best:.2f}", overlap >= share * best


def _unet_targets(found: dict[str, Any]) -> list[tuple[str, bool]]:
    ours, ceiling, repaired, shipped = (found["methods"][name] for name in (OURS, TRUE_MASK, REPAIRED, SHIPPED))
    best = ceiling["success"]["all"]
    lines = [
        (f"success inside the true regions {best:.2f}, at least 0.85", best >= 0.85),
        _success_of_ceiling(ours, ceiling, 0.8),
        (f"background {ours['background_psnr_db']:.1f} dB, at least 24", ours["background_psnr_db"] >= 24),
        _overlap_of_ceiling(ours, 0.6),
        *_found_targets(found["methods"][FOUND], found["methods"][TRUE_ONE]),
    ]
    for name, other in (("repaired", repaired), ("shipped", shipped)):
        for what, mine, theirs, sign in _pairs(ours, other):
            if what == "background dB" and name == "shipped":
                continue  # what hardly edits hardly touches the background
            lines.append((f"{what} {_short(mine)}, {name} reference {_short(theirs)}", sign * mine >= sign * theirs))
    return lines


def _pairs(ours: dict[str, Any], other: dict[str, Any]) -> Iterable[tuple[str, float, float, int]]:
    """Every score of both, and whether more (1) or less (-1) of it is better."""
    yield "success", ours["success"]["all"], other["success"]["all"], 1
    for mode in MASK_MODES:
        yield f"{mode} IoU", ours["iou"][mode], other["iou"][mode], 1
    yield "other object kept", ours["other_object_kept"], other["other_object_kept"], 1
    yield "background dB", ours["background_psnr_db"], other["background_psnr_db"], 1
    yield "replay error", ours["replay_max_abs_error"], other["replay_max_abs_error"], -1


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return round(float(np.mean(values)), 4) if values else None


def _shown(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.0e}"
