"""The pack as a person meets it: ComfyUI's own page in a real Chromium."""

import io
import json
import re
from urllib.request import urlopen

from scripts.host.front_end import FrontEnd

import numpy as np
import pytest
from PIL import Image
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By

from scripts.drawn_edit import score
from scripts.paths import CHECKOUT
from scripts.small_model.drawings import PALETTE, TWO_SHAPES
from scripts.small_model.see import nearest_colour

WORKFLOWS = sorted((CHECKOUT / "workflows").glob("*.json"))
DOCS = CHECKOUT / "web" / "docs"
NATURAL_SIZE = "return [arguments[0].naturalWidth, arguments[0].naturalHeight]"
by_name = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def test_template_browser_lists_the_workflows_with_their_thumbnails(page: FrontEnd):
    cards = page.browse_templates()
    sizes = {path.stem: Image.open(path.with_suffix(".jpg")).size for path in WORKFLOWS}
    assert set(cards) == set(sizes)

    page.screenshot("templates")

    def shown(name):
        # A card has its picture once it comes into sight.
        card = page.cards()[name]
        page.js("arguments[0].scrollIntoView()", card)
        found = {tuple(page.js(NATURAL_SIZE, image)) for image in card.find_elements(By.CSS_SELECTOR, "img")}
        return found if found and (0, 0) not in found else None

    assert {name: page.wait(lambda name=name: shown(name), what=f"the thumbnail of {name}") for name in sizes} == {
        name: {size} for name, size in sizes.items()
    }


def checkpoints(workflow):
    nodes = json.loads(workflow.read_text())["nodes"]
    return {node["widgets_values"][0] for node in nodes if node["type"] == "CheckpointLoaderSimple"}


@by_name
def test_workflow_opens_without_a_complaint(page: FrontEnd, workflow):
    card = page.browse_templates()[workflow.stem]
    page.console_errors()
    card.click()
    wanted = {node["id"]: node["type"] for node in json.loads(workflow.read_text())["nodes"]}
    page.wait(lambda: page.nodes() == wanted, what=f"the nodes of {workflow.name}")
    complaints = page.complaints()
    page.show_all()
    page.screenshot(f"workflow-{workflow.stem}")
    missing = {line for line in complaints.pop("missing-model", []) if line.endswith((".safetensors", ".ckpt", ".pth"))}
    assert complaints == {}
    assert missing <= checkpoints(workflow)
    assert page.console_errors() == []


def test_what_is_missing_would_be_seen(page: FrontEnd):
    workflow = json.loads((CHECKOUT / "workflows" / "try_it.json").read_text())
    for node in workflow["nodes"]:
        if node["type"] == "CheckpointLoaderSimple":
            node["widgets_values"] = ["nowhere.safetensors"]
        if node["type"] == "LEDITS_Heatmap":
            node["type"] = "LEDITS_Nowhere"
    page.reload()
    page.load(workflow)
    complaints = page.complaints(10)
    assert set(complaints) == {"missing-node", "missing-model"}
    assert "LEDITS_Nowhere" in complaints["missing-node"]
    assert "nowhere.safetensors" in complaints["missing-model"]


def test_the_run_button_gives_the_edited_picture_on_the_canvas(page: FrontEnd):
    page.browse_templates()["try_it"].click()
    page.wait(lambda: "SaveImage" in page.nodes().values())
    saved = next(number for number, kind in page.nodes().items() if kind == "SaveImage")
    page.console_errors()
    page.one("[data-testid=queue-button]").click()
    picture = "const i = app.rootGraph.getNodeById(arguments[0]).imgs?.[0]; return i?.naturalWidth ? i.src : null"
    address = page.wait(lambda: page.js(picture, saved), 120, "a picture on the Save node")
    with urlopen(address) as answer:
        edited = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))
    assert score(edited, TWO_SHAPES.image())["inside_target_share"] > 0.8
    page.show_all()
    page.screenshot("run")
    page.show(saved, left=400, top=200)
    corner, end = page.place(saved, 0, 0), page.place(saved, *page.js("return app.rootGraph.getNodeById(arguments[0]).size", saved))
    on_canvas = np.asarray(page.screenshot("run-result").crop((*corner, *end)))
    there, wanted = (share_of(nearest_colour(pixels), "green") for pixels in (on_canvas, edited))
    assert there > wanted / 4
    assert page.console_errors() == []


def share_of(colours, name):
    return float((colours == list(PALETTE).index(name)).mean())


def test_every_node_explains_itself_under_the_pointer(page: FrontEnd, definitions):
    """The node's title, and one of its inputs: a widget where it has one."""
    seen, wanted = {}, {}
    for kind, definition in definitions.items():
        node = page.put(kind)
        page.show(node)
        name, height = page.js(LAST_INPUT, node)
        wanted[kind] = definition["description"], tooltip_of(definition, name)
        seen[kind] = page.tooltip(page.place(node, 60, -12)), page.tooltip(page.place(node, *height))
        if kind == "LEDITS_Concept":
            page.screenshot("tooltip")
    assert seen == wanted


LAST_INPUT = """
const n = app.rootGraph.getNodeById(arguments[0]), known = n.constructor.nodeData.inputs;
const w = n.widgets?.filter(w => w.name in known && !w.element && !w.hidden).at(-1);
return w ? [w.name, [n.size[0] / 2, w.last_y + 10]] : [n.inputs[0].name, [8, 14]]
"""


def tooltip_of(definition, name):
    return next(inputs[name][1]["tooltip"] for inputs in definition["input"].values() if name in inputs)


def test_a_new_node_starts_with_its_defaults(page: FrontEnd, definitions):
    seen, wanted = {}, {}
    for kind, definition in definitions.items():
        shown = page.js(
            "return Object.fromEntries((app.rootGraph.getNodeById(arguments[0]).widgets ?? []).map(w => [w.name, w.value]))", page.put(kind)
        )
        options = {name: spec[1] for inputs in definition["input"].values() for name, spec in inputs.items() if len(spec) > 1}
        wanted[kind] = {name: option["default"] for name, option in options.items() if "default" in option}
        seen[kind] = {name: shown.get(name) for name in wanted[kind]}
    assert seen == wanted


SENT = """
const add = kind => { const n = LiteGraph.createNode(kind); app.rootGraph.add(n); return n };
const made = Object.entries(arguments[0]).map(([kind, values]) => {
  const n = add(kind);
  for (const w of n.widgets) if (w.name in values) w.value = values[w.name];
  return n.id;
});
return app.graphToPrompt().then(sent => made.map(id => sent.output[id].inputs));
"""
"""Adds a node of each kind with these values; what the page would send of each."""


def sent(page: FrontEnd, nodes):
    page.put("LEDITS_Schedule")
    return dict(zip(nodes, page.js(SENT, nodes), strict=True))


def test_the_name_of_an_inversion_is_filled_in_like_that_of_an_image(page: FrontEnd):
    prefix = {"filename_prefix": "%date:yyyy%/%LEDITS_Schedule.steps%_%width%"}
    inputs = sent(page, {"LEDITS_SaveInversion": prefix, "SaveImage": prefix})
    names = {values["filename_prefix"] for values in inputs.values()}
    assert names == {f"{page.js('return new Date().getFullYear()')}/50_%width%"}


def test_choices_and_comments_are_resolved_in_every_text(page: FrontEnd):
    kinds = ("LEDITS_Concept", "LEDITS_ProbeAttention", "LEDITS_CaptureAttention", "CLIPTextEncode")
    inputs = sent(page, {kind: {"text": "a {red|red} circle /* for now */"} for kind in kinds})
    assert {kind: values["text"].strip() for kind, values in inputs.items()} == dict.fromkeys(kinds, "a red circle")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_node_has_its_help_page(page: FrontEnd, definitions, language):
    page.speak(language)
    try:
        missing = [kind for kind in definitions if not help_shows(page, kind, language)]
    finally:
        page.speak("en")
    assert missing == []


def help_shows(page, kind, language):
    """Whether the help panel of a node shows its page in this language, with all of its pictures."""
    source = DOCS / f"{kind}.md" if language == "en" else DOCS / kind / f"{language}.md"
    if not source.exists():
        return False
    sentence = plain(source.read_text(encoding="utf-8"))
    panel = page.help(page.put(kind))

    def complete():
        pictures = panel.find_elements(By.TAG_NAME, "img")
        return sentence in " ".join(panel.text.split()) and pictures and all(page.js(NATURAL_SIZE, picture)[0] for picture in pictures)

    try:
        page.wait(complete, 30)
    except TimeoutException:
        return False
    if kind == "LEDITS_Concept":
        page.screenshot(f"help-{language}")
    return True


def plain(markdown):
    """The first sentence below the title, as it is shown."""
    return next(line for line in markdown.splitlines()[1:] if line.strip() and line[0] not in "!*|#").strip()


def test_chinese_is_chinese(page: FrontEnd, definitions):
    names = json.loads((CHECKOUT / "locales" / "zh" / "nodeDefs.json").read_text())
    page.speak("zh")
    try:
        titles, tips = {}, {}
        for kind in definitions:
            node = page.put(kind)
            titles[kind] = page.js("return app.rootGraph.getNodeById(arguments[0]).title", node)
            page.show(node)
            tips[kind] = page.tooltip(page.place(node, 60, -12))
        page.browse_templates()["try_it"].click()
        page.wait(lambda: "LEDITS_Edit" in page.nodes().values())
        page.show_all()
        page.screenshot("chinese")
    finally:
        page.speak("en")
    assert titles == {kind: names[kind]["display_name"] for kind in definitions}
    assert tips == {kind: names[kind]["description"] for kind in definitions}
    assert all(re.search("[\u4e00-\u9fff]", text) for text in [*titles.values(), *tips.values()])


@pytest.mark.parametrize("release", sorted((CHECKOUT / "tests" / "releases").glob("*/edit.json")), ids=lambda path: path.parent.name)
def test_a_saved_file_of_every_release_gives_the_same_prompt(page: FrontEnd, release):
    """The values of a file land in the inputs that they were saved from."""
    page.load(json.loads(release.read_text()))
    wanted = json.loads(release.with_name("edit.api.json").read_text())
    page.wait(lambda: len(page.nodes()) >= len(wanted))
    made = page.js("return app.graphToPrompt().then(made => made.output)")
    assert {number: node["class_type"] for number, node in made.items()} == {number: node["class_type"] for number, node in wanted.items()}
    kept = {number: {name: made[number]["inputs"].get(name) for name in node["inputs"]} for number, node in wanted.items()}
    assert kept == {number: node["inputs"] for number, node in wanted.items()}
