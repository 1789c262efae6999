"""The subgraph blueprint: the first workflow's subgraph as a node that the search finds."""

from __future__ import annotations

from typing import Any

from scripts.host.front_end import FrontEnd

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from .canvas import SCRIPT, described, lasting, saved
from .graphs import CHECKPOINT, TWO_SHAPES
from .photo_edit import PHOTO_EDIT

NAME = PHOTO_EDIT.graph.name
DESCRIPTION = (
    "Edits a photo by saying what is there and what instead; one of the two may be empty, to add or to remove. Everything outside stays "
    "the original's, at its size. Open it to chain more concepts."
)
ALIASES = ["ledits", "edit photo", "replace object", "remove object", "add object", "semantic edit", "prompt edit"]


def build_blueprint(page: FrontEnd) -> dict[str, Any]:
    """The blueprint as the page saves it."""
    inside = described(PHOTO_EDIT.graph)
    page.js(
        f"{SCRIPT}; build(arguments[0]); enclose(arguments[1], arguments[2], arguments[3])",
        inside,
        NAME,
        PHOTO_EDIT.inputs,
        PHOTO_EDIT.outputs,
    )
    made = saved(page)
    made["definitions"]["subgraphs"][0] |= {"category": "LEDITS++", "description": DESCRIPTION}
    made["extra"] = {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": ALIASES}
    return lasting(made, NAME)


def add_from_search(page: FrontEnd) -> int:
    """Adds the blueprint to an empty graph as a person does: double-click on the canvas, write, Enter; the node's id."""
    page.js(
        "for (const node of [...app.rootGraph.nodes]) app.rootGraph.remove(node); for (const group of [...app.rootGraph.groups]) app.rootGraph.remove(group)"
    )
    canvas = page.driver.find_element(By.ID, "graph-canvas")

    def field() -> WebElement | None:
        ActionChains(page.driver).move_to_element_with_offset(canvas, 0, -100).double_click().perform()
        return page.look("input[placeholder='Add a node...']", 10)

    page.wait(field, what="the search").send_keys(NAME)
    page.wait(lambda: NAME in page.one("[role=dialog], [data-testid=dialog-overlay] + *").text, what=f"{NAME} in the list")
    ActionChains(page.driver).send_keys(Keys.ENTER).perform()
    page.wait(lambda: page.js("return app.rootGraph.nodes.length === 1"), what="the node")

    def placed() -> bool:
        """It hangs on the pointer until a click."""
        ActionChains(page.driver).move_to_element_with_offset(canvas, 10, -90).move_to_element_with_offset(
            canvas, 0, -100
        ).click().perform()
        return not page.js("return app.rootGraph.nodes[0].flags.ghost")

    page.wait(placed, what="the node in its place")
    return int(page.js("return app.rootGraph.nodes[0].id"))


AROUND = """
const [edit] = app.rootGraph.nodes, [checkpoint, picture, values] = arguments
const add = (kind, pos, widgets) => {
  const node = LiteGraph.createNode(kind)
  app.rootGraph.add(node)
  node.pos = pos
  for (const [name, value] of Object.entries(widgets)) node.widgets.find(widget => widget.name === name).value = value
  return node
}
edit.pos = [440, 0]
for (const [name, value] of Object.entries(values)) edit.widgets.find(widget => widget.name === name).value = value
const loader = add('CheckpointLoaderSimple', [0, 0], { ckpt_name: checkpoint })
const photo = add('LoadImage', [0, 180], { image: picture })
const save = add('SaveImage', [880, 0], { filename_prefix: 'ledits/subgraph' })
photo.setSize([340, 360])
save.setSize([420, 480])
const slot = name => edit.inputs.findIndex(input => input.name === name)
for (const [place, name] of ['model', 'clip', 'vae'].entries()) loader.connect(place, edit, slot(name))
photo.connect(0, edit, slot('photo'))
edit.connect(0, save, 0)
return save.id
"""


def use(page: FrontEnd, values: dict[str, Any]) -> int:
    """A checkpoint, a photo and a Save node around the blueprint's node, whose widgets get these values; the Save node's id."""
    return int(page.js(AROUND, CHECKPOINT, TWO_SHAPES, values))
