"""The subgraph blueprint: an edit as one node, with a photo, a checkpoint's three parts and a text in, and the edited photo out."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from browser.front_end import FrontEnd

from .canvas import SCRIPT, described, saved
from .graphs import AMBER, BLUE, GREEN
from .parts import Group, Workflow, node

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
