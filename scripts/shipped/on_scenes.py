"""What the workflows show on the pages: scenes that look like photos, in the place of the drawings that they ship with."""

from __future__ import annotations

from typing import Any

from scripts.scenes.shown import BOOT, CAR, FLOWER, Shown

from .blueprint import NAME
from .photo_edit import INSTEAD, SIZE, STRENGTH, THERE

SUBGRAPH = {THERE: "where", INSTEAD: "text", STRENGTH: "scale", SIZE: "megapixels"}
"""Widgets of the first workflow's subgraph, by what they feed."""
CHANGE = {"scale": 5.0, "threshold": 0.0, "warmup": 0, "cooldown": 0}
CAKE, PINEAPPLE = "a cupcake", "a pineapple"

Values = dict[str | int, dict[str, Any]]
"""Values of widgets, and titles, by the node's kind, title or number."""


def _photo(one: Shown) -> Values:
    return {name: one.values[name] for name in ("CheckpointLoaderSimple", "LoadImage")} | {"LEDITS_Schedule": {"steps": 20, "skip": 0.15}}


def _change(text: str, words: str, **more: Any) -> dict[str, Any]:
    return CHANGE | {"text": text, "words": words} | more


def _first_workflow() -> Values:
    written = CAR.values["LEDITS_Concept"] | CAR.values["LEDITS_FitPhoto"]
    return CAR.values | {NAME: {outer: written[inner] for outer, inner in SUBGRAPH.items()}}


ON_SCENES: dict[str, Values] = {
    "edit": _first_workflow(),
    "several_concepts": _photo(BOOT)
    | {
        "Look for the first thing": {"text": BOOT.where},
        "Look for the second thing": {"text": CAKE},
        "First change": _change(BOOT.text, "green boot"),
        "Second change": _change(PINEAPPLE, "cupcake"),
    },
    "advanced": _photo(CAR) | {"Look for the thing": {"text": CAR.where}, "What to change": _change(CAR.text, "purple car")},
    "where_words_look": _photo(BOOT)
    | {
        "The words to look for": {"text": f"{BOOT.where} and {CAKE}"},
        **{number: {"words": words, "quantile": 0.0} for number, words in ((23, "green boot"), (25, "cupcake"))},
        **{number: {"title": f"Mask of '{words}'"} for number, words in ((24, "green boot"), (26, "cupcake"))},
    },
    "inpaint_by_words": _photo(FLOWER)
    | {
        "The thing to replace": {"text": FLOWER.where},
        "LEDITS_ExtractMask": {"words": "sunflower", "quantile": 0.0},
        "The whole picture as it should be": {"text": "a cactus on a tiled floor"},
    },
    "sdxl": _photo(CAR)
    | {
        "LEDITS_FitPhoto": CAR.values["LEDITS_FitPhoto"],
        "Remove": {"scale": 1.0, "threshold": 0.0, "cooldown": 8},
        "Add": CHANGE | {"text": CAR.text},
    },
    "sweep": _photo(CAR)
    | {
        "Look for the thing": {"text": CAR.where},
        "This one is varied": _change(CAR.text, "purple car", threshold=0.9),
        "LEDITS_Sweep": {"column_values": "1, 3, 6", "row_values": "0.97, 0.9, 0.7"},
    },
}
"""By the workflow's name; the others are shown on their drawings."""
