"""`make figures`: fill the figures on the pages from the measured results; python scripts/figures.py [--check] [--results FOLDER]

A page marks where a figure goes: `<!-- figures:NAME -->` ... `<!-- /figures -->`, around a table or inside a sentence.
With --check nothing is written; what differs is printed and the exit code is 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = next(folder for folder in (ROOT / "benchmarks" / "results", ROOT / "bench") if folder.is_dir())
"""Where the measuring commands write their JSON files."""

BLOCK = re.compile(r"(<!-- figures:([\w-]+) -->)(.*?)(<!-- /figures -->)", re.DOTALL)
OPENING = "<!-- figures:"

METHODS = {
    "ours": "**ours**",
    "ours_place_found": "**ours, place found**, one setting",
    "ours_true_mask": "ours, true mask",
    "ours_true_mask_one_setting": "ours, true mask, one setting",
    "diffusers_repaired": "diffusers, repaired",
    "diffusers_as_shipped": "diffusers, as shipped",
    "img2img": "img2img",
}
TRANSFORMER_METHODS = {
    "ours_place_found": "**ours, place found**",
    "ours_as_published": "ours, masks as published",
    "ours_true_mask": "ours, true mask",
    "flowedit": "FlowEdit",
    "img2img": "img2img",
}
SCENES_METHODS = {
    "ours_place_found": "**ours, place found**",
    "ours_without_source": "ours, without the words of what is there",
    "ours_as_published": "ours, masks as published",
    "diffusers_source_named": "diffusers, repaired, with the words of what is there",
    "diffusers_repaired": "diffusers, repaired",
    "diffusers_as_shipped": "diffusers, as shipped",
    "flowedit": "FlowEdit's setting",
    "img2img": "img2img",
    "ours_true_mask": "ours, true mask",
    "inpaint": "inpainting, true mask",
}
SCENES_KINDS = {"two": "two at once"}
KINDS = {"colour": "colour", "shape": "shape", "remove": "remove", "add": "add", "two": "two colours"}
WEIGHTS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
JOBS = {
    "inversion": "inversion",
    "edit_1": "edit, 1 concept",
    "edit_1_default_attention": "edit, 1 concept, ComfyUI's default attention",
    "edit_8": "edit, 8 concepts",
    "sweep_9": "sweep of 9",
}
NOT_ON_PAGES = {"edit_2", "edit_4", "edit_again", "capture", "mask_extraction"}
"""Rows that only the full table beside the JSON file shows."""
MEMORY = {"ours_mb": "ours", "ksampler_mb": "KSampler", "diffusers_mb": "diffusers"}


class Results:
    """The JSON files of one folder."""

    def __init__(self, folder: Path):
        self.exactness = _read(folder / "exactness.json")
        self.quality = _read(folder / "quality.json")
        self.quality_transformer = _read(folder / "quality-transformer.json")
        self.quality_scenes = _read(folder / "quality-scenes.json")
        self.scenes = _read(folder / "scenes.json")
        self.curves_scenes = _read(folder / "quality-curves-scenes.json")
        self.solvers = _read(folder / "solvers.json")
        self.speed = _read(folder / "speed.json")
        self.fleet = _read(folder / "fleet.json")

    def timed(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """The networks with times, by their readable names."""
        return ((readable(name), one) for name, one in self.speed["networks"].items() if "rows" in one)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |".replace("  ", " ") for row in (head, ["---"] * len(head), *rows))


def decimals(value: float | None, places: int, unit: str = "") -> str:
    return "" if value is None else f"{value:.{places}f}{unit}"


def one_digit(value: float | str | None) -> str:
    """3e-6, 0.7; a text instead of a number means that the pipeline raised an error."""
    if value is None:
        return ""
    return "stops with an error" if isinstance(value, str) else f"{value:.1g}".replace("e-0", "e-")


def readable(network: str) -> str:
    """'SD 1.5 512 fp16' -> 'SD 1.5, 512 pixels, fp16'."""
    name, side, rest = re.fullmatch(r"(.+?) (\d{3,})(?: (.+))?", network).groups()
    name = "small checkpoint" if name == "small" else name
    return ", ".join(part for part in (name, f"{side} pixels", rest) if part)


def exactness(results: Results) -> str:
    rows = []
    for weights, bases in results.exactness["ours"].items():
        for number, (base, schedules) in enumerate(bases.items()):
            steps = list(next(iter(schedules.values())))
            ours = [one_digit(max(errors[count] for errors in schedules.values())) for count in steps]
            theirs = [one_digit(results.exactness["diffusers"][weights][base][count]) for count in steps]
            theirs = theirs if len(set(theirs)) > 1 else theirs[:1]
            rows.append(["" if number else WEIGHTS[weights], base, " / ".join(steps), " / ".join(ours), " / ".join(theirs)])
    return table(["weights", "inverted with", "steps", "ours", "diffusers"], rows)


def quality(measured: dict[str, Any], methods: dict[str, str]) -> str:
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "succeeded": lambda found: decimals(found["success"]["all"], 2),
        "other object kept": lambda found: decimals(found["other_object_kept"], 2),
        "background PSNR": lambda found: decimals(found["background_psnr_db"], 1, " dB"),
    }
    if all("leakage" in measured["methods"][name] for name in methods):
        columns["leakage"] = lambda found: decimals(found["leakage"], 2)
        columns["there and back"] = lambda found: decimals(found["return_psnr_db"], 1, " dB")
    else:
        columns["attention IoU"] = lambda found: _iou(found, "attention")
    columns["replay error"] = lambda found: one_digit(found["replay_max_abs_error"])
    rows = ([label, *(column(measured["methods"][name]) for column in columns.values())] for name, label in methods.items())
    return table(["", *columns], rows)


def quality_kinds(measured: dict[str, Any], methods: dict[str, str], labels: dict[str, str] = KINDS) -> str:
    found = measured["methods"]
    kinds = [kind for kind in found[next(iter(methods))]["success"] if kind != "all"]
    rows = ([label, *(decimals(found[name]["success"][kind], 2) for kind in kinds)] for name, label in methods.items())
    return table(["", *(labels.get(kind, kind) for kind in kinds)], rows)


def quality_masks(measured: dict[str, Any], methods: dict[str, str]) -> str:
    """The attention masks: overlap, what of them is outside the region, what of the region they miss; and overlap where a thing is there."""
    rows = []
    for name, label in methods.items():
        found = measured["methods"][name]
        if found["iou_of_what_is_there"] is not None:
            shares = [decimals(found[key]["attention"], 2) for key in ("mask_outside_region", "region_missed")]
            rows.append([label, _iou(found, "attention"), *shares, "{:.2f} of {:.2f}".format(*found["iou_of_what_is_there"])])
    return table(["attention masks", "IoU", "outside the region", "of the region missed", "IoU where a thing is there"], rows)


def quality_modes(results: Results) -> str:
    found = results.quality["methods"]
    modes = list(found["ours"]["iou"])
    measured = ((name, label) for name, label in METHODS.items() if found[name]["iou"]["attention"] is not None)
    return table(["", *modes], ([label, *(_iou(found[name], mode) for mode in modes)] for name, label in measured))


def quality_tuned(measured: dict[str, Any], methods: dict[str, str], labels: dict[str, str]) -> str:
    """Each method with a strength for each kind, beside the same edits with one for all of them."""
    rows, tuned = [], measured["tuned"]
    kinds = [kind for kind in next(iter(tuned.values()))["success"] if kind != "all"]
    for name, label in methods.items():
        if name in tuned:
            one = measured["methods"][name][measured["one_setting"][name]]
            rest = [decimals(tuned[name]["background_psnr_db"], 1, " dB"), decimals(one["success"], 2)]
            rest.append(decimals(one["background_psnr_db"], 1, " dB"))
            rows.append([label, *(decimals(tuned[name]["success"][kind], 2) for kind in (*kinds, "all")), *rest])
    return table(["", *(labels.get(kind, kind) for kind in kinds), "all", "background PSNR", "one setting: all", "background PSNR"], rows)


def scenes_drawn(results: Results) -> str:
    found, one, two = results.scenes, results.scenes["objects_1"], results.scenes["objects_2"]
    return (
        f"Of {found['prompts']} prompts each the classifier sees the named object in {one['object']:.2f} and its colour in {one['colour']:.2f} of "
        f"the pictures with one object, in {two['object']:.2f} and {two['colour']:.2f} with two, both objects in {two['every_object']:.2f}; on "
        f"unseen scenes it is right about {found['classifier']['objects_found']:.3f} of all objects. The autoencoder gives unseen scenes back at "
        f"{found['autoencoder_psnr_db']['mean']:.1f} dB."
    )


def solvers(results: Results) -> str:
    rows = []
    for one in results.solvers["runs"]:
        kinds = [decimals(one["success"][kind], 2) for kind in (*KINDS, "all")]
        rest = [decimals(one["other_object_kept"], 2), decimals(one["background_psnr_db"], 1, " dB")]
        rows.append([str(one["steps"]), one["solver"], str(one["path_shift"]), f"{one['skip']:g}", *kinds, *rest])
    return table(["steps", "solver", "path_shift", "skip", *KINDS.values(), "all", "other object kept", "background PSNR"], rows)


def _iou(found: dict[str, Any], mode: str) -> str:
    iou = found["iou"][mode]
    return "" if iou is None else f"{iou:.2f} of {found['iou_ceiling'][mode]:.2f}"


def speed(results: Results) -> str:
    rows = []
    for network, one in results.timed():
        for job, values in one["rows"].items():
            if job not in NOT_ON_PAGES:
                times = [decimals(values[f"{who}_s"], 2) for who in ("ours", "bare", "diffusers")]
                rows.append([network, JOBS.get(job, job.replace("_", " ")), str(one["steps"]), *times, decimals(values["overhead"], 2)])
    return table(["network", "job", "steps", "ours, s", "bare calls, s", "diffusers, s", "ours / bare"], rows)


def speed_ratios(results: Results) -> str:
    keys = ("speedup_vs_diffusers", "second_edit_vs_diffusers", "second_edit_limit")
    rows = ([network, *(decimals(one.get(key), 2) for key in keys)] for network, one in results.timed())
    return table(["50 steps: times as fast as diffusers", "inversion and edit", "second edit", "its bare calls alone"], rows)


def memory(results: Results) -> str:
    measured = {name: one for name, one in results.speed["networks"].items() if "memory_mb" in one}
    others = {key: key.removesuffix("_mb").replace("_", " ") for one in measured.values() for key in one["memory_mb"]}
    columns = MEMORY | {key: label for key, label in others.items() if key not in MEMORY}
    rows = [[readable(name), *(_megabytes(one, key) for key in columns)] for name, one in measured.items()]
    return table(["memory besides the weights, one step with two prompts", *columns.values()], rows)


def _megabytes(one: dict[str, Any], key: str) -> str:
    if key not in one["memory_mb"]:
        return ""
    value = one["memory_mb"][key]
    limit = one["memory"].get(key.removesuffix("_mb"), {}).get("limit_mb")
    return f"fails with {limit} MB" if value is None else f"{value:.0f} MB"


def fleet_rows(results: Results) -> str:
    rows = [[f"{int(done):,}", f"{memory} MB"] for done, memory in results.fleet["rows"]["memory_mb"].items()]
    return table([f"of {results.fleet['rows']['photos']:,} empty rows done", "memory of the command"], rows)


def fleet_speed(results: Results) -> str:
    rows = [[label, f"{one['photos_an_hour']:.0f}", f"{one['cpu_seconds_a_photo']:.1f}"] for label, one in results.fleet["speed"].items()]
    return table(["", "photos an hour", "CPU seconds a photo"], rows)


def summary(results: Results) -> str:
    ours, theirs = (results.quality_scenes["methods"][name] for name in ("ours_place_found", "diffusers_as_shipped"))
    base = "empty prompt"
    errors = [max(schedule["50"] for schedule in results.exactness["ours"]["fp32"][base].values())]
    errors.append(results.exactness["diffusers"]["fp32"][base]["50"])
    headline = results.speed["headline"]
    one = results.speed["networks"][headline]
    edit, used = one["rows"]["edit_1"], one["memory_mb"]
    rows = [
        ["unedited latent, largest error after 50 steps", *map(one_digit, errors)],
        [
            f"{results.quality_scenes['edits']} edits of scenes: succeeded",
            *(decimals(found["success"]["all"], 2) for found in (ours, theirs)),
        ],
        ["… background PSNR", *(decimals(found["background_psnr_db"], 1, " dB") for found in (ours, theirs))],
        [f"{readable(headline)}, one CPU thread: edit step", *(decimals(edit[f"{who}_s"], 1, " s") for who in ("ours", "diffusers"))],
        ["… memory besides the weights", *(decimals(used[f"{who}_mb"], 0, " MB") for who in ("ours", "diffusers"))],
    ]
    return table(["", "this pack", "diffusers"], rows)


BLOCKS: dict[str, Callable[[Results], str]] = {
    "summary": summary,
    "exactness": exactness,
    "quality": lambda results: quality(results.quality, METHODS),
    "quality-kinds": lambda results: quality_kinds(results.quality, METHODS),
    "quality-transformer": lambda results: quality(results.quality_transformer, TRANSFORMER_METHODS),
    "quality-transformer-kinds": lambda results: quality_kinds(results.quality_transformer, TRANSFORMER_METHODS),
    "quality-transformer-edits": lambda results: f"{results.quality_transformer['edits']} edits",
    "quality-scenes": lambda results: quality(results.quality_scenes, SCENES_METHODS),
    "quality-scenes-kinds": lambda results: quality_kinds(results.quality_scenes, SCENES_METHODS, SCENES_KINDS),
    "quality-scenes-tuned": lambda results: quality_tuned(results.curves_scenes, SCENES_METHODS, SCENES_KINDS),
    "curves-scenes-edits": lambda results: f"{results.curves_scenes['edits']} edits",
    "quality-scenes-edits": lambda results: f"{results.quality_scenes['edits']} edits",
    "quality-masks": quality_modes,
    "quality-transformer-masks": lambda results: quality_masks(results.quality_transformer, TRANSFORMER_METHODS),
    "quality-scenes-masks": lambda results: quality_masks(results.quality_scenes, SCENES_METHODS),
    "scenes-drawn": scenes_drawn,
    "solvers": solvers,
    "solver-edits": lambda results: f"{results.solvers['edits']} edits",
    "speed": speed,
    "speed-ratios": speed_ratios,
    "memory": memory,
    "fleet-rows": fleet_rows,
    "fleet-speed": fleet_speed,
    "fleet-row-ms": lambda results: f"{results.fleet['rows']['ms_a_row']:.0f} ms",
    "capture-share": lambda results: f"{results.speed['edit_1']['capture_share']:.2%}",
    "import-ms": lambda results: f"{1000 * results.speed['import_s']:.0f} ms",
    "first-import-ms": lambda results: f"{1000 * results.speed['first_import_s']:.0f} ms",
}


def fill(text: str, results: Results) -> str:
    """The page with the results between all its markers."""

    def replace(found: re.Match[str]) -> str:
        opening, name, _, closing = found.groups()
        value = BLOCKS[name](results)
        return f"{opening}\n\n{value}\n\n{closing}" if "\n" in value else f"{opening}{value}{closing}"

    filled, count = BLOCK.subn(replace, text)
    if count != filled.count(OPENING):
        raise ValueError("a figures marker is not closed")
    return filled


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page differs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with what the benchmarks measured, as benchmarks/results/")
    arguments = parser.parse_args()
    results = Results(arguments.results)
    differs = False
    for page in pages():
        text = page.read_text(encoding="utf-8")
        filled = fill(text, results)
        if filled == text:
            continue
        differs = True
        name = page.relative_to(ROOT).as_posix()
        if arguments.check:
            changes = difflib.unified_diff(text.splitlines(), filled.splitlines(), name, "measured", lineterm="", n=0)
            print("\n".join(changes))
        else:
            page.write_text(filled, encoding="utf-8")
            print(f"wrote {name}")
    return int(arguments.check and differs)


if __name__ == "__main__":
    sys.exit(main())
