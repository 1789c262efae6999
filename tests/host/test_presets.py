"""The presets of LEDITS++ Concept: the script, the pages and the method say the same, and the node takes it."""

import re

from scripts.host.in_comfy import nodes, run

import pytest

from scripts.paths import CHECKOUT
from support.presets import PRESETS, WORDS

# What the method names; the rest stays as the node has it.
METHOD = {
    "object": {"scale": 12, "warmup": 5, "threshold": 0.9},
    "face": {"scale": 5, "threshold": 0.95},
    "style": {"scale": 7, "threshold": 0.5, "mask_mode": "noise"},
    "remove": {"scale": 12, "warmup": 5, "threshold": 0.9, "direction": "remove"},
}
FILLED = ("direction", "scale", "threshold", "mask_mode", "warmup", "cooldown")
ROWS = ("object", "face", "style")
"""The presets in the order of the pages' rows; the first row is for adding and for removing."""
PAGES = ["README.md", "web/docs/LEDITS_Concept.md", "web/docs/LEDITS_Concept/zh.md"]


def schema():
    return nodes()["LEDITS_Concept"].GET_SCHEMA()


def test_a_preset_sets_what_the_method_names_and_the_defaults_else():
    defaults = {item.id: item.default for item in schema().inputs if item.id in FILLED}
    assert {name: defaults | values for name, values in METHOD.items()} == PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_the_node_takes_what_a_preset_sets(clip, preset):
    (concept,) = run("LEDITS_Concept", clip=clip, text="a red circle", **PRESETS[preset])[0]
    assert concept.settings.add == (PRESETS[preset]["direction"] == "add")
    for name in ("scale", "threshold", "mask_mode", "warmup", "cooldown"):
        assert getattr(concept.settings, name) == PRESETS[preset][name]


def rows_of(page):
    """The cells of a page's table of values to start from, by the names of its columns."""
    tables = re.findall(r"(?:^\|.*\|\n)+", (CHECKOUT / page).read_text(encoding="utf-8"), re.MULTILINE)
    (found,) = [rows for rows in ([cells(line) for line in table.splitlines()] for table in tables) if {"scale", "warmup"} <= set(rows[0])]
    return [dict(zip(found[0], row, strict=True)) for row in found[2 : 2 + len(ROWS)]]


def cells(line):
    return [cell.strip(" `") for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_the_same(page):
    for preset, row in zip(ROWS, rows_of(page), strict=True):
        values = {name: str(PRESETS[preset][name]) for name in ("scale", "warmup", "threshold", "mask_mode")}
        assert {name: row[name].split()[0] for name in values} == values


def test_the_nodes_description_says_the_same():
    said = schema().description.partition("Good starting points: ")[2].split(";")
    for preset, part in zip(ROWS, said, strict=True):
        named = dict(re.findall(r"(scale|warmup|threshold|mask_mode) ([a-z]+|\d+(?:\.\d+)?)", part))
        assert named == {name: str(value) for name, value in METHOD[preset].items()}


def test_every_preset_has_a_name_in_every_language():
    assert set(WORDS) == {folder.name for folder in (CHECKOUT / "locales").iterdir()}
    for language, words in WORDS.items():
        assert set(words) == {"label", "tooltip", "choose", *PRESETS}
        assert len(set(words.values())) == len(words)
        if language == "zh":
            assert all(re.search("[\u4e00-\u9fff]", word) for word in words.values())
