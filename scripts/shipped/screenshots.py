"""`make screenshots`: ComfyUI's page as a new user meets it, as pictures for the README and thumbnails for the template browser.

    make screenshots ARGS="sweep help"    only these

Writes what the page shows to output/screenshots/, the same as small files to docs/images/, and workflows/<name>.jpg.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.host.front_end import FrontEnd

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from scripts.paths import CHECKOUT
from scripts.shipped.canvas import WORKFLOWS, opened
from scripts.shipped.graphs import CHECKPOINT, SDXL
from scripts.shipped.graphs import WORKFLOWS as GRAPHS
from scripts.shipped.on_scenes import ON_SCENES
from scripts.shipped.thumbnails import NOT_RUN, thumbnail

IMAGES = CHECKOUT / "docs" / "images"
PATIENCE, OPENS = 300, 60
WINDOW, WIDE_WINDOW = (1600, 1000), (2900, 1700)
WIDEST, BORDER = 1800, 16
LOADER, INVERT, REMOVE, ADD, EDIT, SAVED, MASKS, HEAT = 1, 6, 7, 8, 9, 11, 13, 15
"""Nodes of the simple graph."""

SHOWN = """
const shows = node => node.imgs?.length && node.imgs.every(image => image.naturalWidth)
const ends = app.rootGraph.nodes.filter(node => node.constructor.nodeData?.output_node && node.constructor.nodeData.output[0] !== 'INT')
return ends.every(shows) ? Object.fromEntries(ends.map(node => [node.id, node.imgs.map(image => image.src)])) : null
"""
"""The addresses of the pictures on the nodes that show results, once all are there."""

AT_WORK = (
    "const node = app.rootGraph.getNodeById(arguments[0]); return Boolean(node.imgs?.length) && node.progress > 0 && node.progress < 1"
)
FILL = """
const things = arguments[0].length ? arguments[0].map(id => app.rootGraph.getNodeById(id)) : app.rootGraph.groups
const boxes = things.map(thing => [thing.pos[0], thing.pos[1] - 40, thing.pos[0] + thing.size[0], thing.pos[1] + thing.size[1]])
const box = [0, 1, 2, 3].map(side => (side < 2 ? Math.min : Math.max)(...boxes.map(box => box[side])))
const canvas = app.canvas, place = canvas.canvas.getBoundingClientRect(), ds = canvas.ds, [left, top, right, bottom] = arguments[1]
const room = [place.width - left - right, place.height - top - bottom]
canvas.deselectAll()
ds.scale = Math.min(room[0] / (box[2] - box[0]), room[1] / (box[3] - box[1]), arguments[2])
ds.offset = [0, 1].map(axis => ([left, top][axis] + (room[axis] - (box[axis + 2] - box[axis]) * ds.scale) / 2) / ds.scale - box[axis])
canvas.setDirty(true, true)
const corners = box.map((value, side) => (value + ds.offset[side % 2]) * ds.scale + (side % 2 ? place.top : place.left))
return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(corners))))
"""
"""Moves the canvas so that these nodes, or all groups, fill it but for what the page lays over its borders; gives where they then lie."""
SET_VALUES = """
for (const node of app.rootGraph.nodes.flatMap(node => [node, ...(node.subgraph?.nodes ?? [])]))
  for (const [name, value] of [node.comfyClass, node.title, node.id].flatMap(key => Object.entries(arguments[0][key] ?? {}))) {
    if (name === "title") {
      node.title = value
      continue
    }
    const widget = node.widgets.find(widget => widget.name === name)
    widget.value = value
    widget.callback?.(value)
  }
"""
"""Sets titles, and widgets by the node's kind, title or number, also inside subgraphs, as a person does: Load Image shows its new image."""
MARGINS, LARGEST = (80, 130, 30, 70), 1.2


def main(wanted: list[str]) -> None:
    with opened() as page:
        for name in wanted or [*GRAPHS, *SCENES]:
            page.driver.set_window_size(*(WIDE_WINDOW if name in GRAPHS else WINDOW))
            forget(page)
            if name in GRAPHS:
                workflow(page, name)
            else:
                SCENES[name](page)


def workflow(page: FrontEnd, name: str) -> None:
    """A workflow after its run, with the pictures on its nodes; those of large models without one."""
    page.load(on_the_small_checkpoint(json.loads((WORKFLOWS / f"{name}.json").read_text())))
    page.close_dialogs()
    page.js(SET_VALUES, ON_SCENES.get(name, {}))
    fill(page)
    pictures = {} if name in NOT_RUN else run(page)
    keep(page, f"run-{name}", fill(page))
    thumbnail(name, pictures).save(WORKFLOWS / f"{name}.jpg", quality=88, optimize=True)


def first_edit(page: FrontEnd) -> None:
    """The five steps of a first edit."""
    page.browse_templates()
    page.wait(
        lambda: all(page.js("return arguments[0].naturalWidth", image) for image in page.all("[data-testid^=template-workflow-] img"))
    )
    keep(page, "step-1-templates")
    open_workflow(page, "try_it")
    fill(page)
    keep(page, "step-2-graph")
    for concept, text in ((REMOVE, "a red circle"), (ADD, "a green circle")):
        write(page, concept, text)
    fill(page, LOADER, ADD)
    keep(page, "step-3-photo-and-text")
    fill(page, INVERT, EDIT)
    page.one("[data-testid=queue-button]").click()
    page.wait(lambda: page.js(AT_WORK, EDIT), PATIENCE, "a preview on the Edit node")
    keep(page, "step-4-run")
    fill(page, SAVED, HEAT)
    page.wait(lambda: page.js(SHOWN), PATIENCE, "the results")
    fill(page, SAVED, MASKS)
    keep(page, "step-5-result")


def help_panel(page: FrontEnd) -> None:
    """The help page of the Concept node, beside it."""
    open_workflow(page, "try_it")
    panel = page.help(ADD)
    page.wait(lambda: all(page.js("return arguments[0].naturalWidth", image) for image in panel.find_elements(By.TAG_NAME, "img")), OPENS)
    keep(page, "help-concept")
    page.close_panel()


SCENES: dict[str, Callable[[FrontEnd], None]] = {"first-edit": first_edit, "help": help_panel}


def forget(page: FrontEnd) -> None:
    """A page without tabs of earlier graphs, on a server that has computed nothing yet."""
    page.server.post("/free", {"unload_models": True, "free_memory": True})
    page.js("localStorage.clear(); sessionStorage.clear()")
    page.reload()


def open_workflow(page: FrontEnd, name: str) -> None:
    """From the template browser, as a person opens it."""
    page.browse_templates()[name].click()
    wanted = {node["id"]: node["type"] for node in json.loads((WORKFLOWS / f"{name}.json").read_text())["nodes"]}
    page.wait(lambda: page.nodes() == wanted, OPENS, f"the nodes of {name}")


def on_the_small_checkpoint(workflow: dict[str, Any]) -> dict[str, Any]:
    """A graph of a checkpoint that is not here with the one that is, and in the size that it likes."""
    for node in workflow["nodes"]:
        if node["type"] == "CheckpointLoaderSimple" and node["widgets_values"] == [SDXL]:
            node["widgets_values"] = [CHECKPOINT]
            scale = next(node for node in workflow["nodes"] if node["type"] == "LEDITS_FitPhoto")
            scale["widgets_values"] = [0.06]
    return workflow


def run(page: FrontEnd) -> dict[int, list[Image.Image]]:
    """Presses Run and waits for a picture on every node that shows one; the pictures, by node."""
    page.one("[data-testid=queue-button]").click()
    found = page.wait(lambda: page.js(SHOWN), PATIENCE, "pictures on all nodes that show one")
    # A preview that stays on its node is no file.
    files = {number: [address for address in addresses if "filename=" in address] for number, addresses in found.items()}
    return {int(number): [read(page, address) for address in addresses] for number, addresses in files.items()}


def read(page: FrontEnd, address: str) -> Image.Image:
    """The file behind a picture on the page."""
    asked = parse_qs(urlsplit(address).query, keep_blank_values=True)
    return Image.open(io.BytesIO(page.server.file({name: asked[name][0] for name in ("filename", "subfolder", "type")}))).convert("RGB")


def write(page: FrontEnd, node: int, text: str) -> None:
    """Types a text into a node's field, over what is there."""
    field = page.js("return app.rootGraph.getNodeById(arguments[0]).widgets.find(widget => widget.element).element", node)
    page.show(node, left=500, top=300)
    page.still()
    field = field if field.tag_name == "textarea" else field.find_element(By.TAG_NAME, "textarea")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)
    assert page.js("return app.rootGraph.getNodeById(arguments[0]).widgets.find(w => w.name === 'text').value", node) == text


def fill(page: FrontEnd, *nodes: int) -> tuple[int, int, int, int]:
    """These nodes, or the whole graph, as large as they fit on the page, and where they lie there."""
    page.close_panel()
    left, top, right, bottom = page.js(FILL, list(nodes), MARGINS, LARGEST)
    page.still()
    return round(left) - BORDER, round(top) - BORDER, round(right) + BORDER, round(bottom) + BORDER


def keep(page: FrontEnd, name: str, box: tuple[int, int, int, int] | None = None) -> None:
    """What the page shows, as a screenshot and as a small file for the pages that show it."""
    picture = page.screenshot(name)
    if box:
        picture = picture.crop(box)
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.jpg"
    picture.save(path, quality=84, optimize=True)
    print(path, f"{path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
