"""The workflow for photos on the shipped drawing: another picture and other values, and how well its edit went."""

from __future__ import annotations

import json

import numpy as np

from scripts.paths import CHECKOUT, CHECKPOINT
from scripts.small_model.drawings import PALETTE, TWO_SHAPES
from scripts.small_model.see import nearest_colour

EDITED_OBJECT, ASKED_COLOUR = 0, "green"
PICTURE = CHECKOUT / "workflows" / "two_shapes.png"
DRAWING = {
    "CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT.name},
    "LoadImage": {"image": PICTURE.name},
    "LEDITS_FitPhoto": {"megapixels": 256**2 / 1024**2},
    "LEDITS_Schedule": {"skip": 0.0},
    "LEDITS_Concept": {"where": "red circle", "text": "a green circle", "scale": 5.0, "warmup": 0},
}
"""What stands in the place of a photo's values: the small checkpoint decides a colour in the first steps."""


def with_values(workflow: dict, values: dict[str, dict]) -> dict:
    """The workflow with other values, by the nodes' kinds."""
    workflow = json.loads(json.dumps(workflow))
    for node in workflow.values():
        node["inputs"] |= values.get(node["class_type"], {})
    return workflow


def on_the_drawing(workflow: dict) -> dict:
    return with_values(workflow, DRAWING)


def find(workflow: dict, kind: str) -> str:
    """The number of the only node of a kind."""
    (number,) = (number for number, node in workflow.items() if node["class_type"] == kind)
    return number


def score(edited: np.ndarray, original: np.ndarray) -> dict[str, float]:
    region = TWO_SHAPES.masks()[EDITED_OBJECT]
    asked = nearest_colour(edited) == list(PALETTE).index(ASKED_COLOUR)
    error = (edited.astype(np.float64) - original)[~region]
    return {
        "inside_target_share": round(float(asked[region].mean()), 4),
        "outside_psnr_db": round(float(10 * np.log10(255**2 / np.square(error).mean())), 2),
    }
