"""The presets of LEDITS++ Concept for tests: their values in a graph of so many steps, and their names in the page's script."""

from __future__ import annotations

from typing import Any

from ledits.presets import PRESETS
from scripts.paths import CHECKOUT
from support.page_scripts import constant

SCRIPT = CHECKOUT / "web" / "presets.js"


def values_for(name: str, steps: int = 50) -> dict[str, Any]:
    """What the preset fills in; Schedule has 50 steps by itself."""
    return PRESETS[name] | {"warmup": round(PRESETS[name]["warmup"] * steps)}


WORDS: dict[str, dict[str, str]] = constant(SCRIPT.name, "WORDS")
