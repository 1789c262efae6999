"""README, CONTRIBUTING and docs/ against the files, commands, nodes, inputs, values and functions that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scripts.host.in_comfy import nodes

import pytest

from scripts.paths import CHECKOUT

README = CHECKOUT / "README.md"
METHOD = CHECKOUT / "docs" / "method.md"
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
def test_links_and_anchors_exist(page):
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(CHECKOUT) or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_links_and_anchors_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('# One thing\n[a](b.md#c) ![d](e.png) <img src="f.jpg"> [g](https://example.org)\n```\n[h](i)\n```\n')
    assert links(page) == ["b.md#c", "e.png", "f.jpg"]
    assert anchors(page) == {"one-thing"}


@each_page
def test_make_commands_exist(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    in_code = re.findall(r"`[^`]+`", FENCE.sub("", text_of(page))) + FENCE.findall(text_of(page))
    assert {target for code in in_code for target in COMMAND.findall(code)} <= targets


def test_every_node_is_listed_with_its_name_its_page_and_its_picture():
    cells = r'<a href="web/docs/(\w+)\.md"><img src="web/docs/images/\1\.jpg"[^>]*></a><br>\*\*\[(.+?)\]\(web/docs/\1\.md\)\*\*: \w'
    listed = dict(re.findall(cells, text_of(README)))
    assert {node_id: f"LEDITS++ {name}" for node_id, name in listed.items()} == {
        node_id: node.GET_SCHEMA().display_name for node_id, node in nodes().items()
    }


def test_the_readme_is_short():
    assert len(text_of(README).split()) <= 1800


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
    text = "\n".join(map(text_of, [README, *(CHECKOUT / "docs" / f"{name}.md" for name in ("guide", "troubleshooting"))]))
    said = re.findall(rf"\b({'|'.join(known)}) (\d+(?:\.\d+)?)\b", text)
    said += re.findall(r"\b(mask_mode|direction) (\w+)\b", text)
    assert len(said) > 25
    assert [(name, value) for name, value in said if not any(is_legal(item, value) for item in known[name] if takes_values(item))] == []


def takes_values(item: Any) -> bool:
    return hasattr(item, "options") or getattr(item, "max", None) is not None


@each_page
def test_functions_are_in_the_files_they_are_linked_to(page):
    linked = re.findall(r"\[`(\w+)`\]\(([\w/.]+\.py)\)", text_of(page))
    assert [name for name, path in linked if f"def {name}(" not in (page.parent / path).read_text()] == []
    assert page != METHOD or len(linked) >= 8


def test_every_source_of_the_comparison_is_given_and_used():
    lines = text_of(CHECKOUT / "docs" / "comparison.md").splitlines()
    used = {mark for line in lines if line.startswith("|") for mark in re.findall(r"\[([a-z]\d)\]", line)}
    given = [mark for line in lines for mark in re.findall(r"\*\*\[([a-z]\d)\]\*\*", line)]
    assert len(given) > 15
    assert sorted(used) == sorted(given)
