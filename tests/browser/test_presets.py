"""The list of presets on LEDITS++ Concept, in ComfyUI's page."""

import json

from scripts.host.front_end import FrontEnd

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from scripts.paths import CHECKOUT
from support.presets import PRESETS, WORDS, values_for

FIELDS = """
const n = app.rootGraph.getNodeById(arguments[0]);
return Object.fromEntries(n.widgets.filter(w => !w.element).map(w => [w.name, w.value]));
"""
OWN = {"direction": "remove", "scale": 3.5, "threshold": 0.7, "mask_mode": "none", "warmup": 1, "cooldown": 9}
"""Values that no preset sets."""
DRAWN = set(OWN) - {"direction"}
OWN_VALUES = WORDS["en"]["own"]


@pytest.fixture
def concept(page: FrontEnd):
    """A node with values of its own, in a graph whose state the page has taken down."""
    page.js("return app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    node = page.put("LEDITS_Concept")
    set_fields(page, node, OWN)
    page.show(node)
    page.console_errors()
    page.point(page.place(node, -60, -60), click=True)
    return node


def set_fields(page, node, values):
    """As the fields do when a person changes them."""
    page.js(
        "const n = app.rootGraph.getNodeById(arguments[0]);"
        "for (const w of n.widgets) if (w.name in arguments[1]) { w.value = arguments[1][w.name]; w.callback?.(w.value, app.canvas, n) }",
        node,
        values,
    )


def choose(page, node, name):
    """As a person does: a click on the list, and one on the entry."""
    entries = "[role=dialog] .litemenu-entry, .litecontextmenu .litemenu-entry"

    def opened():
        place = page.js("const n = app.rootGraph.getNodeById(arguments[0]), w = n.widgets[0]; return [n.size[0] / 2, w.last_y + 10]", node)
        page.point(page.place(node, *place), click=True)
        return page.look(entries, 5)

    page.wait(opened, what="the list's entries")
    next(entry for entry in page.all(entries) if entry.text.strip() == name).click()


def drawn(page, node):
    """What the canvas shows of the values that differ from OWN in every preset, but for the direction."""
    rows = page.js("const n = app.rootGraph.getNodeById(arguments[0]); return n.widgets.map(w => [w.name, w.last_y])", node)
    right = page.js("return app.rootGraph.getNodeById(arguments[0]).size[0]", node)
    picture = page.screenshot()
    places = [(*page.place(node, right / 2, top + 3), *page.place(node, right - 40, top + 17)) for name, top in rows if name in DRAWN]
    return [picture.crop(place).tobytes() for place in places]


def fields(page, node):
    return page.js(FIELDS, node)


@pytest.mark.parametrize("preset", PRESETS)
def test_choosing_one_fills_the_fields_and_shows_it(page: FrontEnd, concept, preset):
    before, seen = fields(page, concept), drawn(page, concept)
    assert before["preset"] == OWN_VALUES
    choose(page, concept, preset)
    page.wait(lambda: fields(page, concept)["scale"] != OWN["scale"])
    assert fields(page, concept) == before | values_for(preset) | {"preset": preset}
    # Each value is drawn anew, without waiting for the pointer to come by.
    page.wait(lambda: all(row != old for row, old in zip(drawn(page, concept), seen, strict=True)), 20, "the values on the canvas")
    if preset == "replace":
        page.screenshot("preset")
    set_fields(page, concept, {"scale": 4})
    assert fields(page, concept)["preset"] == OWN_VALUES
    set_fields(page, concept, values_for(preset))
    assert fields(page, concept)["preset"] == preset
    assert page.console_errors() == []


def test_a_new_node_has_the_values_of_one(page: FrontEnd):
    assert fields(page, page.put("LEDITS_Concept")) == {
        "words": "",
        "where": "",
        "direction": "add",
        "preset": "as published",
    } | values_for("as published")


@pytest.mark.parametrize("steps", [8, 20, 100])
def test_the_warmup_is_a_share_of_the_steps(page: FrontEnd, concept, steps):
    page.js(
        "const n = LiteGraph.createNode('LEDITS_Schedule'); app.rootGraph.add(n); n.pos = [-900, 0]; n.widgets[0].value = arguments[0]",
        steps,
    )
    choose(page, concept, "remove")
    page.wait(lambda: fields(page, concept)["scale"] != OWN["scale"])
    assert fields(page, concept)["warmup"] == values_for("remove", steps)["warmup"]
    assert fields(page, concept)["preset"] == "remove"


def test_undo_takes_all_fields_back_in_one_step(page: FrontEnd, concept):
    before = fields(page, concept)
    choose(page, concept, "restyle")
    page.wait(lambda: fields(page, concept)["mask_mode"] == "noise")
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    page.wait(lambda: fields(page, concept) == before, 20, "the fields as they were")
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("y").key_up(Keys.CONTROL).perform()
    page.wait(lambda: fields(page, concept) == before | values_for("restyle") | {"preset": "restyle"}, 20, "the preset again")


def test_choosing_nothing_changes_nothing(page: FrontEnd, concept):
    before = fields(page, concept)
    choose(page, concept, OWN_VALUES)
    assert fields(page, concept) == before


def test_the_list_is_neither_saved_nor_sent(page: FrontEnd, concept, definitions):
    choose(page, concept, "replace")
    page.wait(lambda: fields(page, concept)["scale"] == 12)
    inputs = definitions["LEDITS_Concept"]["input"]
    widgets = [
        name
        for part in ("required", "optional")
        for name, spec in inputs[part].items()
        if isinstance(spec[0], list) or spec[0] in ("STRING", "INT", "FLOAT", "COMBO")
    ]
    filled = OWN | values_for("replace")
    saved = page.js("return app.rootGraph.getNodeById(arguments[0]).serialize()", concept)
    assert saved["widgets_values"] == [filled.get(name, "") for name in widgets]
    assert "preset" not in json.dumps(saved)
    sent = page.js("return app.graphToPrompt().then(made => made.output)")[str(concept)]["inputs"]
    assert set(sent) == set(widgets)


def test_a_file_keeps_the_values_that_it_was_saved_with(page: FrontEnd):
    workflow = json.loads((CHECKOUT / "workflows" / "try_it.json").read_text())
    saved = {node["id"]: node["widgets_values"] for node in workflow["nodes"] if node["type"] == "LEDITS_Concept"}
    page.load(workflow)
    page.wait(lambda: set(saved) <= set(page.nodes()))
    shown = {node: page.js("return app.rootGraph.getNodeById(arguments[0]).widgets.map(w => w.value)", node) for node in saved}
    assert shown == {node: [OWN_VALUES, *values] for node, values in saved.items()}
    again = {node["id"]: node["widgets_values"] for node in page.js("return app.rootGraph.serialize()")["nodes"] if node["id"] in saved}
    assert again == saved


def test_it_explains_itself(page: FrontEnd, concept):
    place = page.js("const n = app.rootGraph.getNodeById(arguments[0]), w = n.widgets[0]; return [n.size[0] / 2, w.last_y + 10]", concept)
    assert page.tooltip(page.place(concept, *place)) == WORDS["en"]["tooltip"]


def test_in_chinese_it_is_chinese(page: FrontEnd):
    page.speak("zh")
    try:
        node = page.put("LEDITS_Concept")
        page.show(node)
        label, values = page.js("const w = app.rootGraph.getNodeById(arguments[0]).widgets[0]; return [w.label, w.options.values]", node)
        choose(page, node, WORDS["zh"]["restyle"])
        page.wait(lambda: fields(page, node)["mask_mode"] == "noise")
    finally:
        page.speak("en")
    words = WORDS["zh"]
    assert label == words["label"]
    assert values == [*(words[name] for name in PRESETS), words["own"]]


def test_it_works_on_nodes_of_the_newer_kind(page: FrontEnd):
    """Nodes 2.0, which the page draws without the canvas."""
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    page.js(set_kind, True)
    try:
        node = page.put("LEDITS_Concept")
        page.show(node)
        shown = f"[data-node-id='{node}'] [aria-label=preset]"
        page.one(shown).click()
        page.wait(lambda: [entry for entry in page.all("[role=option]") if entry.text.strip() == "remove"])[0].click()
        page.wait(lambda: fields(page, node)["direction"] == "remove", what="the fields filled")
        assert fields(page, node) == {"words": "", "where": "", "preset": "remove"} | values_for("remove")
        page.wait(lambda: page.one(f"[data-node-id='{node}'] [aria-label=direction]").text.strip() == "remove", what="the fields shown")
        assert page.one(shown).text.strip() == "remove"
    finally:
        page.js(set_kind, False)
