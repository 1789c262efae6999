"""The shipped workflows and the subgraph blueprint in ComfyUI's own page: in step with what they are written from, tidy, and at work."""

import io
import itertools
import json

from scripts.host.front_end import FrontEnd

import numpy as np
import pytest
from PIL import Image

from scripts.drawn_edit import on_the_drawing
from scripts.shipped.blueprint import NAME, add_from_search, build_blueprint, use
from scripts.shipped.canvas import SUBGRAPHS, WORKFLOWS, build, exported
from scripts.shipped.drawn import SCENES, pictures
from scripts.shipped.graphs import CHECKPOINT, TWO_SHAPES
from scripts.shipped.graphs import WORKFLOWS as GRAPHS
from scripts.shipped.photo_edit import INSTEAD, SIZE, STRENGTH, THERE
from scripts.shipped.screenshots import SET_VALUES, on_the_small_checkpoint, run
from scripts.shipped.slots import SLOTS, switched_on
from scripts.shipped.thumbnails import NOT_RUN
from scripts.small_model.drawings import PALETTE
from scripts.small_model.see import nearest_colour

TITLE = 30
"""Height of a node's title, which stands above its place."""
by_name = pytest.mark.parametrize("name", GRAPHS)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_workflow_is_written_down():
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(GRAPHS)
    assert {path.stem for path in (WORKFLOWS / "api").glob("*.json")} == {*GRAPHS, "fleet"}  # has no graph of its own


@by_name
def test_its_prompt_is_the_twin(page: FrontEnd, name):
    page.console_errors()
    page.load(read(WORKFLOWS / f"{name}.json"))
    assert exported(page) == read(WORKFLOWS / "api" / f"{name}.json")
    assert page.console_errors() == []


@by_name
def test_its_file_is_what_the_page_saves(page: FrontEnd, name):
    """Otherwise: make workflows."""
    file = read(WORKFLOWS / f"{name}.json")
    assert without_additions(build(page, GRAPHS[name]), file) == file


def without_additions(saved, file):
    """What a page saves, without keys that the file lacks: a newer page adds some."""
    if isinstance(saved, dict) and isinstance(file, dict):
        return {key: without_additions(value, file[key]) for key, value in saved.items() if key in file}
    if isinstance(saved, list) and isinstance(file, list) and len(saved) == len(file):
        return list(map(without_additions, saved, file))
    return saved


def test_only_additions_of_a_newer_page_are_allowed():
    file = {"nodes": [{"id": 1, "widgets_values": [7]}, {"id": 2}]}
    added = {"nodes": [{"id": 1, "widgets_values": [7], "widgets_values_named": {"scale": 7}}, {"id": 2}], "kind": 3}
    assert without_additions(added, file) == file
    for other in (
        {"nodes": [{"id": 1, "widgets_values": [8]}, {"id": 2}]},
        {"nodes": [{"id": 1, "widgets_values": [7]}]},
        {"nodes": None},
        {},
    ):
        assert without_additions(other, file) != file


@by_name
def test_it_is_tidy(page: FrontEnd, name):
    """As the page draws it: no node over another, every node in a group, no group over another."""
    page.load(read(WORKFLOWS / f"{name}.json"))
    things = "return app.rootGraph.{}.map(thing => [thing.title, thing.pos[0], thing.pos[1], thing.size[0], thing.size[1]])"
    nodes = nodes_on(page)
    groups = {title: (x, y, x + w, y + h) for title, x, y, w, h in page.js(things.format("groups"))}
    for kind in (nodes, groups):
        assert overlaps(kind) == []
    assert [node for node, box in nodes.items() if sum(inside(box, group) for group in groups.values()) != 1] == []


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in NOT_RUN])
def test_it_is_tidy_after_a_run(page: FrontEnd, name):
    """With the pictures and texts that nodes show then, on both kinds of nodes."""
    page.load(on_the_small_checkpoint(in_few_steps(read(WORKFLOWS / f"{name}.json"))))
    if name == "edit":
        page.js(SET_VALUES, {"CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT}, "LoadImage": {"image": TWO_SHAPES}})
        page.js(SET_VALUES, {NAME: {THERE: "red circle", INSTEAD: "green circle", SIZE: 0.06}})
    run(page)
    assert overlaps(nodes_on(page)) == []
    set_kind = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    page.js(set_kind, True)
    try:
        page.show_all()
        count = len(page.nodes())
        boxes = page.wait(lambda: len(found := page.js(ELEMENTS)) == count and found, what="the nodes")
        page.wait(lambda: page.js(LOADED), what="their pictures")
        boxes = {(number, title): tuple(box) for number, (title, *box) in enumerate(page.js(ELEMENTS))}
        assert overlaps(boxes) == []
    finally:
        page.js(set_kind, False)


ELEMENTS = """
const scale = app.canvas.ds.scale
return [...document.querySelectorAll("[data-node-id]")].map(element => {
  const box = element.getBoundingClientRect()
  return [app.rootGraph.getNodeById(element.dataset.nodeId)?.title, box.left / scale, box.top / scale, box.right / scale, box.bottom / scale]
})
"""
"""Where the nodes of the newer kind are, in the canvas's units."""
LOADED = "return [...document.querySelectorAll('[data-node-id] img')].every(image => image.naturalWidth)"


def in_few_steps(workflow):
    for node in [*workflow["nodes"], *(node for inner in workflow.get("definitions", {}).get("subgraphs", []) for node in inner["nodes"])]:
        place = {"LEDITS_Schedule": 0, "KSampler": 2}.get(node["type"])
        if place is not None:
            node["widgets_values"][place] = 3
    return workflow


def nodes_on(page):
    boxes = page.js("return app.rootGraph.nodes.map(node => [node.title, ...node.pos, ...node.size])")
    return {(number, title): (x, y - TITLE, x + w, y + h) for number, (title, x, y, w, h) in enumerate(boxes)}


def overlaps(boxes):
    return [pair for pair in itertools.combinations(boxes, 2) if overlap(*(boxes[thing] for thing in pair))]


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(box, ground):
    return ground[0] <= box[0] and ground[1] <= box[1] and box[2] <= ground[2] and box[3] <= ground[3]


@pytest.mark.parametrize("slot", SLOTS)
def test_a_slot_of_the_advanced_workflow_can_be_switched_on(page: FrontEnd, slot):
    page.load(read(WORKFLOWS / "advanced.json"))
    page.js("for (const id of arguments[0]) app.rootGraph.getNodeById(id).mode = 0", list(SLOTS[slot]))
    wanted, _ = switched_on(read(WORKFLOWS / "api" / "advanced.json"), slot)
    assert meant(exported(page)) == meant(wanted)


def meant(prompt):
    """A prompt without the nodes' titles."""
    return {number: (node["class_type"], node["inputs"]) for number, node in prompt.items()}


def test_the_pictures_are_what_the_scenes_draw():
    assert {path.name for path in WORKFLOWS.glob("*.png")} == set(pictures())
    for name, picture in pictures().items():
        kept = Image.open(WORKFLOWS / name)
        assert (kept.size, kept.tobytes()) == (picture.size, picture.tobytes())


def test_the_blueprint_is_what_the_page_saves(page: FrontEnd):
    assert [path.stem for path in SUBGRAPHS.glob("*.json")] == [NAME]
    file = read(SUBGRAPHS / f"{NAME}.json")
    assert without_additions(build_blueprint(page), file) == file


def test_the_blueprint_is_found_by_the_search_and_edits_a_photo(page: FrontEnd):
    listed = [
        entry["name"] for entry in page.server.get("/global_subgraphs").values() if entry["info"]["node_pack"] == "custom_nodes.ledits-pp"
    ]
    assert listed == [NAME]
    page.console_errors()
    node = add_from_search(page)
    written = {THERE: "blue square", INSTEAD: "a yellow square", STRENGTH: 7, SIZE: 0.1}
    saved = use(page, written)
    prompt = exported(page)
    assert prompt[f"{node}:7"]["class_type"] == "LEDITS_Concept"
    concept, scale = prompt[f"{node}:7"]["inputs"], prompt[f"{node}:34"]["inputs"]
    assert {THERE: concept["where"], INSTEAD: concept["text"], STRENGTH: concept["scale"], SIZE: scale["megapixels"]} == written
    result = page.server.run(on_the_drawing(prompt))["outputs"][str(saved)]["images"][0]
    edited = nearest_colour(np.asarray(Image.open(io.BytesIO(page.server.file(result))).convert("RGB")))
    circle, square = SCENES["two_shapes"].masks()
    for region, colour in ((circle, "green"), (square, "blue")):
        assert (edited == list(PALETTE).index(colour))[region].mean() > 0.7
    assert page.console_errors() == []
