"""Constants of the page's scripts, which are written as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from scripts.paths import CHECKOUT


def constant(script: str, name: str) -> dict[str, Any]:
    """The constant of this name in a script under web/."""
    text = (CHECKOUT / "web" / script).read_text(encoding="utf-8")
    found = re.search(rf"^const {name} = (\{{.*?^\}});$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return json.loads(found[1])
