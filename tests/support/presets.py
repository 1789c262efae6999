"""What the presets of LEDITS++ Concept set, as the page's script says it."""

from __future__ import annotations

import json
import re
from typing import Any

from scripts.paths import CHECKOUT

SCRIPT = CHECKOUT / "web" / "presets.js"


def table(name: str) -> dict[str, dict[str, Any]]:
    """A constant of the script; they are written as JSON."""
    found = re.search(rf"^const {name} = (\{{.*?^\}});$", SCRIPT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return json.loads(found[1])


PRESETS, WORDS = table("PRESETS"), table("WORDS")
