"""The presets of LEDITS++ Concept for tests: their values in a graph of so many steps, and their names in the page's script."""

from __future__ import annotations

import json
import re
from typing import Any

from ledits.presets import PRESETS
from scripts.paths import CHECKOUT

SCRIPT = CHECKOUT / "web" / "presets.js"


def values_for(name: str, steps: int = 50) -> dict[str, Any]:
    """What the preset fills in; Schedule has 50 steps by itself."""
    return PRESETS[name] | {"warmup": round(PRESETS[name]["warmup"] * steps)}


def words() -> dict[str, dict[str, str]]:
    """A constant of the script, which is written as JSON."""
    found = re.search(r"^const WORDS = (\{.*?^\});$", SCRIPT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


WORDS = words()
