"""`make locale`: the texts of the nodes' schemas in the form of ComfyUI's translations, written to locales/en/nodeDefs.json."""

from __future__ import annotations

import json
from typing import Any

from scripts.host.in_comfy import nodes

from scripts.paths import CHECKOUT

LOCALES = CHECKOUT / "locales"


def english() -> dict[str, dict[str, Any]]:
    """What ComfyUI's front end shows of every node: names, description, inputs by their ids, outputs by their places."""
    return {node_id: _texts(node.GET_SCHEMA()) for node_id, node in nodes().items()}


def _texts(schema: Any) -> dict[str, Any]:
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {item.id: {"name": item.display_name or item.id, "tooltip": item.tooltip} for item in schema.inputs},
        "outputs": {str(place): {"name": item.display_name, "tooltip": item.tooltip} for place, item in enumerate(schema.outputs)},
    }


if __name__ == "__main__":
    (LOCALES / "en" / "nodeDefs.json").write_text(json.dumps(english(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
