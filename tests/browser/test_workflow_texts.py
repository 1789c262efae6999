"""The shipped workflows on ComfyUI's page in Chinese."""

import json

from scripts.host.front_end import FrontEnd

import pytest

from scripts.paths import CHECKOUT
from scripts.shipped.graphs import WORKFLOWS as GRAPHS
from support.page_scripts import constant

TEXTS = constant("workflow_texts.js", "TEXTS")["zh"]
SEEN = """
const graphs = [app.rootGraph, ...app.rootGraph.subgraphs.values()];
return {
  groups: graphs.flatMap(graph => graph.groups.map(group => group.title)),
  titles: graphs.flatMap(graph => graph.nodes.map(node => node.title)),
  notes: graphs.flatMap(graph => graph.nodes.filter(node => node.type === "MarkdownNote").map(node => node.widgets[0].value)),
};
"""


def read(name):
    return json.loads((CHECKOUT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_in_english_nothing_changes(page: FrontEnd):
    page.load(read("edit"))
    page.wait(lambda: page.js("return app.rootGraph.groups.length"))
    assert set(page.js(SEEN)["groups"]) <= set(TEXTS["groups"])


@pytest.mark.parametrize("name", ["edit", "try_it", "where_words_look"])
def test_titles_and_notes_are_chinese(chinese, name):
    chinese.load(read(name))
    seen = chinese.wait(lambda: (found := chinese.js(SEEN)) and found["groups"] and found)
    assert set(seen["groups"]) <= set(TEXTS["groups"].values())
    assert set(seen["notes"]) <= set(TEXTS["notes"].values())
    assert seen["notes"]
    assert not set(seen["titles"]) & set(TEXTS["titles"])
    chinese.show_all()
    chinese.screenshot(f"chinese-{name}")
    again = chinese.js("return JSON.parse(JSON.stringify(app.rootGraph.serialize()))")
    chinese.load(again)
    assert chinese.js(SEEN) == seen


def test_other_graphs_keep_theirs(chinese):
    workflow = read("edit")
    workflow["groups"].append(workflow["groups"][0] | {"id": 99, "title": "Mine", "bounding": [0, 2000, 100, 100]})
    chinese.load(workflow)
    chinese.wait(lambda: len(chinese.js("return app.rootGraph.groups.map(group => group.title)")) == len(workflow["groups"]))
    assert chinese.js("return app.rootGraph.groups.map(group => group.title)") == [group["title"] for group in workflow["groups"]]


def test_every_text_has_a_translation():
    groups, titles, notes = set(), set(), set()
    for name in GRAPHS:
        workflow = read(name)
        for graph in (workflow, *workflow.get("definitions", {}).get("subgraphs", [])):
            groups |= {group["title"] for group in graph["groups"]}
            titles |= {node["title"] for node in graph["nodes"] if node.get("title")}
            notes |= {node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"}
    assert groups == set(TEXTS["groups"])
    assert titles == set(TEXTS["titles"])
    assert notes == set(TEXTS["notes"])
