"""The presets of LEDITS++ Concept: the node has them, takes them and begins with one, and the pages and the script say the same."""

import re

from scripts.host.in_comfy import nodes, run

import pytest

from scripts.paths import CHECKOUT
from support.presets import PRESETS, SCRIPT, WORDS, values_for

PAGES = ["README.md", "web/docs/LEDITS_Concept.md", "web/docs/LEDITS_Concept/zh.md"]


def schema():
    return nodes()["LEDITS_Concept"].GET_SCHEMA()


def test_the_pages_script_gets_them_with_the_node():
    assert nodes()["LEDITS_Concept"].INPUT_TYPES()["required"]["direction"][1]["presets"] == PRESETS
    assert not re.findall(r"\d\.\d", SCRIPT.read_text(encoding="utf-8")), "the script has values of its own"


def test_the_node_begins_with_one():
    defaults = {item.id: item.default for item in schema().inputs if item.id in PRESETS["as published"]}
    assert defaults == values_for("as published")


def test_only_what_adds_or_removes_sets_the_direction():
    assert {name: values.get("direction") for name, values in PRESETS.items()} == dict.fromkeys(PRESETS) | {
        "add": "add",
        "remove": "remove",
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_the_node_takes_what_a_preset_sets(clip, preset):
    settings = values_for(preset)
    (concept,) = run("LEDITS_Concept", clip=clip, text="a red circle", **({"direction": "remove"} | settings))[0]
    assert concept.settings.add == (settings.pop("direction", "remove") == "add")
    assert {name: getattr(concept.settings, name) for name in settings} == settings


def rows_of(page):
    """The cells of a page's table of values to start from, by the names of its columns."""
    tables = re.findall(r"(?:^\|.*\|\n)+", (CHECKOUT / page).read_text(encoding="utf-8"), re.MULTILINE)
    (found,) = [rows for rows in ([cells(line) for line in table.splitlines()] for table in tables) if {"scale", "warmup"} <= set(rows[0])]
    return [dict(zip(found[0], row, strict=True)) for row in found[2 : 2 + len(PRESETS)]]


def cells(line):
    return [cell.strip(" `") for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_say_the_same(page):
    for preset, row in zip(PRESETS, rows_of(page), strict=True):
        for name in ("scale", "warmup", "threshold", "mask_mode"):
            value = values_for(preset)[name]
            assert row[name] == value if isinstance(value, str) else float(row[name]) == value, (preset, name)


def test_the_node_names_them():
    assert schema().description.endswith(f"good values to start from: {', '.join(PRESETS)}.")


def test_every_preset_has_a_name_in_every_language():
    assert set(WORDS) == {folder.name for folder in (CHECKOUT / "locales").iterdir()}
    assert {name: WORDS["en"][name] for name in PRESETS} == {name: name for name in PRESETS}
    for language, words in WORDS.items():
        assert set(words) == {"label", "tooltip", "own", *PRESETS}
        assert len(set(words.values())) == len(words)
        if language == "zh":
            assert all(re.search("[\u4e00-\u9fff]", word) for word in words.values())
