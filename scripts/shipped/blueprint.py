"""The subgraph blueprint: an edit as one node, with a photo, a checkpoint's three parts and a text in, and the edited photo out."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from scripts.host.front_end import FrontEnd

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from .canvas import SCRIPT, described, saved
from .graphs import CHECKPOINT, TWO_SHAPES
from .parts import AMBER, BLUE, GREEN, Group, Workflow, node

NAME = "Photo Edit (LEDITS++)"
DESCRIPTION = (
    "Edits a photo by saying what to add or remove: encodes and inverts it, applies one concept inside its own mask, and decodes. "
    "Open it to chain more concepts."
)
ALIASES = ["ledits", "edit photo", "semantic edit", "prompt edit"]

GRAPH = Workflow(
    NAME,
    [
        [
            Group(
                "Inversion: computed once",
                [
                    [
                        node(3, "VAEEncode"),
                        node(4, "CLIPTextEncode", "Neutral prompt (empty)", text=""),
                        node(5, "LEDITS_Schedule", steps=50, skip=0.15),
                    ],
                    [node(6, "LEDITS_Invert", latent=(3, 0), sigmas=(5, 0), negative=(4, 0))],
                ],
                BLUE,
            )
        ],
        [Group("What to change", [[node(7, "LEDITS_Concept")]], GREEN)],
        [Group("Edit", [[node(9, "LEDITS_Edit", inversion=(6, 0), concepts=(7, 0)), node(10, "VAEDecode", samples=(9, 0))]], AMBER)],
    ],
)
INPUTS = [
    ("photo", [(3, "pixels")]),
    ("model", [(5, "model"), (6, "model"), (9, "model")]),
    ("clip", [(4, "clip"), (7, "clip")]),
    ("vae", [(3, "vae"), (10, "vae")]),
    *((name, [(7, name)]) for name in ("text", "direction", "scale", "threshold", "mask_mode", "warmup")),
    ("skip", [(5, "skip")]),
    ("seed", [(6, "seed")]),
]
"""The node's inputs, and what each feeds inside; those of widgets are shown as widgets."""
OUTPUTS = [("photo", 10, 0), ("mask", 9, 2)]


def build_blueprint(page: FrontEnd) -> dict[str, Any]:
    """The blueprint as the page saves it."""
    page.js(f"{SCRIPT}; build(arguments[0]); enclose(arguments[1], arguments[2], arguments[3])", described(GRAPH), NAME, INPUTS, OUTPUTS)
    made = saved(page)
    made["definitions"]["subgraphs"][0] |= {"category": "LEDITS++", "description": DESCRIPTION}
    made["extra"] = {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": ALIASES}
    return json.loads(lasting(json.dumps(made)))


def lasting(text: str) -> str:
    """The page gives parts of a subgraph new random ids each time; these are the same each time."""
    found = dict.fromkeys(re.findall(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", text))
    for place, there in enumerate(found):
        text = text.replace(there, str(uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME} {place}")))
    return text


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


RECOLOUR = {"text": "a green circle", "scale": 5, "warmup": 0, "skip": 0, "seed": 4}
"""What makes the red circle green."""
