"""README, CONTRIBUTING and docs/ against what they speak of: files, commands, nodes, inputs and their values, functions, figures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from scripts.host.in_comfy import nodes

import pytest

from scripts.paths import CHECKOUT

README = CHECKOUT / "README.md"
MEASUREMENTS = CHECKOUT / "docs" / "measurements.md"
PAGES = [README, CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|href)="([^"]+)\"""")
COMMAND = re.compile(r"\bmake ([a-z][a-z-]*)")
FENCE = re.compile(r"```.*?```", re.DOTALL)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(page: Path) -> list[str]:
    """Relative ones, with their anchors."""
    found = ["".join(groups) for groups in LINK.findall(FENCE.sub("", text_of(page)))]
    return [link for link in found if not link.startswith("https://")]


def anchors(page: Path) -> set[str]:
    """What a code host calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: Path, *begins: str) -> list[dict[str, str]]:
    """The first table whose header begins with these cells, a dict for each row; bold is taken off."""
    for block in re.findall(r"(?:^\|.*\n)+", FENCE.sub("", text_of(page)), re.MULTILINE):
        head, _, *rows = ([cell.strip().strip("*") for cell in line.strip().strip("|").split("|")] for line in block.splitlines())
        if head[: len(begins)] == list(begins):
            assert all(len(row) == len(head) for row in rows), f"{page.name}: a row of the table {begins} is of another length"
            return [dict(zip(head, row, strict=True)) for row in rows]
    raise AssertionError(f"{page.name} has no table that begins with {begins}")


@each_page
def test_what_a_page_links_to_is_there(page):
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(CHECKOUT) or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_a_broken_link_would_be_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('# One thing\n[a](b.md#c) ![d](e.png) <img src="f.jpg"> [g](https://example.org)\n```\n[h](i)\n```\n')
    assert links(page) == ["b.md#c", "e.png", "f.jpg"]
    assert anchors(page) == {"one-thing"}


@each_page
def test_every_make_command_is_there(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    in_code = re.findall(r"`[^`]+`", FENCE.sub("", text_of(page))) + FENCE.findall(text_of(page))
    assert {target for code in in_code for target in COMMAND.findall(code)} <= targets


def test_every_node_is_listed_with_its_name_its_page_and_its_picture():
    cells = r'<a href="web/docs/(\w+)\.md"><img src="web/docs/images/\1\.jpg"[^>]*></a><br>\*\*\[(.+?)\]\(web/docs/\1\.md\)\*\*: \w'
    listed = dict(re.findall(cells, text_of(README)))
    assert {node_id: f"LEDITS++ {name}" for node_id, name in listed.items()} == {
        node_id: node.GET_SCHEMA().display_name for node_id, node in nodes().items()
    }


def test_every_workflow_is_listed_with_its_picture_and_its_graph():
    for workflow in (CHECKOUT / "workflows").glob("*.json"):
        assert {f"workflows/{workflow.name}", f"workflows/{workflow.stem}.jpg", f"docs/images/run-{workflow.stem}.jpg"} <= set(
            links(README)
        )


def inputs_of(node_id: str) -> dict[str, Any]:
    return {item.id: item for item in nodes()[node_id].GET_SCHEMA().inputs}


def is_legal(item: Any, value: str) -> bool:
    options = getattr(item, "options", None)
    if options is not None:
        return value in options
    return item.min <= float(value) <= item.max


def test_the_recipes_name_inputs_and_values_that_are_there():
    concept, schedule = inputs_of("LEDITS_Concept"), inputs_of("LEDITS_Schedule")
    recipes = table(README, "you want")
    assert len(recipes) >= 6
    for recipe in recipes:
        for column, value in recipe.items():
            name, is_schedules = column.removesuffix(" (Schedule)"), column.endswith(" (Schedule)")
            if column != "you want" and value:
                assert is_legal((schedule if is_schedules else concept)[name], value), (recipe["you want"], column)


def test_values_in_the_text_are_legal_too():
    """'scale 7', 'mask_mode noise': wherever the name of an input stands before a value."""
    known: dict[str, list[Any]] = {}
    for node_id in nodes():
        for name, item in inputs_of(node_id).items():
            known.setdefault(name, []).append(item)
    said = re.findall(rf"\b({'|'.join(known)}) (\d+(?:\.\d+)?)\b", text_of(README))
    said += re.findall(r"\b(mask_mode|direction) (\w+)\b", text_of(README))
    assert len(said) > 15
    assert [(name, value) for name, value in said if not any(is_legal(item, value) for item in known[name] if takes_values(item))] == []


def takes_values(item: Any) -> bool:
    return hasattr(item, "options") or getattr(item, "max", None) is not None


def test_every_folder_of_tests_is_explained_to_contributors():
    folders = {path.name for path in (CHECKOUT / "tests").iterdir() if any(path.glob("*.py"))}
    named = set(re.findall(r"`tests/(\w+)`", text_of(CHECKOUT / "CONTRIBUTING.md")))
    assert folders - named == set()


@each_page
def test_functions_are_in_the_files_they_are_linked_to(page):
    linked = re.findall(r"\[`(\w+)`\]\(([\w/.]+\.py)\)", text_of(page))
    assert [name for name, path in linked if f"def {name}(" not in (page.parent / path).read_text()] == []
    assert page != README or len(linked) >= 8


def test_every_source_of_the_comparison_is_given_and_used():
    lines = text_of(CHECKOUT / "docs" / "comparison.md").splitlines()
    used = {mark for line in lines if line.startswith("|") for mark in re.findall(r"\[([a-z]\d)\]", line)}
    given = [mark for line in lines for mark in re.findall(r"\*\*\[([a-z]\d)\]\*\*", line)]
    assert len(given) > 15
    assert sorted(used) == sorted(given)


def short(value: float | str) -> str:
    """One digit, as the pages write it."""
    return "stops with an error" if isinstance(value, str) else f"{value:.1g}".replace("e-0", "e-")


WEIGHTS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@pytest.mark.parametrize("page", [README, MEASUREMENTS], ids=lambda page: page.name)
def test_exactness_is_what_was_measured(page):
    measured = json.loads((CHECKOUT / "bench" / "exactness.json").read_text())
    weights = ""
    for row in table(page, "weights", "inverted with"):
        weights = WEIGHTS[row["weights"]] if row["weights"] else weights
        steps = row["steps"].split(" / ")
        base = row["inverted with"]
        schedules = measured["ours"][weights][base].values()
        ours = [short(max(errors[count] for errors in schedules)) for count in steps]
        theirs = list(dict.fromkeys(short(measured["diffusers"][weights][base][count]) for count in steps))
        assert row["ours"].split(" / ") == ours
        assert list(dict.fromkeys(row["diffusers"].split(" / "))) == theirs


METHODS = {
    "ours": "ours",
    "ours, true mask": "ours_true_mask",
    "diffusers, repaired": "diffusers_repaired",
    "diffusers, as shipped": "diffusers_as_shipped",
    "img2img": "img2img",
}


def quality() -> dict[str, Any]:
    return json.loads((CHECKOUT / "bench" / "quality.json").read_text())["methods"]


@pytest.mark.parametrize("page", [README, MEASUREMENTS], ids=lambda page: page.name)
def test_quality_is_what_was_measured(page):
    measured = quality()
    rows = table(page, "", "succeeded")
    assert [METHODS[row[""]] for row in rows] == [METHODS[name] for name in METHODS]
    for row in rows:
        found = measured[METHODS[row[""]]]
        iou, ceiling, error = found["iou"]["attention"], found["iou_ceiling"]["attention"], found["replay_max_abs_error"]
        assert row["succeeded"] == f"{found['success']['all']:.2f}"
        assert row["other object kept"] == f"{found['other_object_kept']:.2f}"
        assert row["background"] == f"{found['background_psnr_db']:.1f} dB"
        assert row["attention IoU"].replace("*", "") == ("" if iou is None else f"{iou:.2f} of {ceiling:.2f}")
        assert row["replay error"] == ("" if error is None else short(error))


def test_quality_of_each_kind_is_what_was_measured():
    measured = quality()
    for row in table(MEASUREMENTS, "", "colour"):
        success = measured[METHODS[row.pop("")]]["success"]
        assert row == {kind: f"{success[kind.split()[0]]:.2f}" for kind in row}


SPEED = [
    ("SD 1.5 512", "inversion"),
    ("SD 1.5 512", "edit_1"),
    ("SD 1.5 256", "edit_1"),
    ("SD 1.5 256", "edit_8"),
    ("small 256", "edit_1"),
    ("small 256", "sweep_9"),
]
"""What the rows of the README's table are, in their order."""


def speed() -> dict[str, Any]:
    return json.loads((CHECKOUT / "bench" / "speed.json").read_text())


def test_speed_is_what_was_measured():
    networks = speed()["networks"]
    for (network, name), row in zip(SPEED, table(README, "", "ours", "bare"), strict=True):
        found = networks[network]["rows"][name]
        for who in ("ours", "bare", "diffusers"):
            assert row[who] == f"{found[f'{who}_s']:.{len(row[who].partition('.')[2])}f}", (network, name, who)


def test_memory_is_what_was_measured():
    networks = speed()["networks"]
    rows = table(README, "memory beside the weights, a step with two prompts")
    for network, row in zip(("SD 1.5 512", "small 2048", "SDXL 1024"), rows, strict=True):
        found = networks[network]["memory_mb"]
        for who, column in (("ours", "ours"), ("ksampler", "KSampler"), ("diffusers", "diffusers")):
            value = found.get(f"{who}_mb", "")
            assert row[column] == ("more than 12 GB, fails" if value is None else value and f"{value:.0f} MB"), (network, who)


def test_what_is_said_of_speed_is_what_was_measured():
    measured = speed()
    large, middle = (measured["networks"][f"SD 1.5 {size}"] for size in (512, 256))
    readme, page = text_of(README), text_of(MEASUREMENTS)
    again = [f"{measured['networks'][f'small {size}']['second_edit_vs_diffusers']:.1f}" for size in (256, 512, 1024)]
    assert f"the whole job is {large['speedup_vs_diffusers']:.1f} times as fast" in readme
    assert f"the same photo {large['second_edit_vs_diffusers']:.1f} times" in readme
    assert f"(at 256 pixels {middle['speedup_vs_diffusers']:.1f} and {middle['second_edit_vs_diffusers']:.1f} times)" in readme
    assert f"{again[0]} times as fast at 256 pixels, {again[1]} times at 512 and {again[2]} times at 1024" in readme
    assert f"with the small checkpoint {again[0]}, {again[1]} and {again[2]} times at 256, 512 and 1024" in page
    assert f"it would be {large['second_edit_limit']:.2f} times at 512 pixels" in page
    assert f"{measured['overhead_ratio']:.3f} times the bare calls" in page
    assert f"{measured['networks']['small 256']['rows']['edit_1']['overhead']:.3f} times with the small checkpoint" in page
    assert (
        f"takes {1000 * measured['import_s']:.0f} ms on top of ComfyUI, {1000 * measured['first_import_s']:.0f} ms the first time" in page
    )
