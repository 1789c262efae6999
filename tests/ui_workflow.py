"""Lays out API workflows as UI workflows, from left to right by what each node waits for.

    python tests/ui_workflow.py workflows/api/edit.json workflows/edit.json

The node definitions come from a real server, so that slots and widgets are in the front end's own order.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comfy_server import ComfyServer

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
WIDTH, COLUMN, GAP, TITLE, ROW = 300, 360, 40, 40, 26
PREVIEWS = ("LEDITS_Invert", "LEDITS_Edit")
"""Nodes that grow while they run, by the preview they show."""


def is_widget(spec: list[Any]) -> bool:
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def kind_of(spec: list[Any]) -> str:
    return "COMBO" if isinstance(spec[0], list) else spec[0]


def ui_workflow(api: dict[str, Any], info: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """A workflow in the front end's format (version 0.4). Notes become a column of note nodes on the left."""
    links: list[list[Any]] = []
    nodes: dict[str, dict[str, Any]] = {}
    columns: dict[int, float] = {}
    for order, (key, node) in enumerate(sorted(api.items(), key=lambda entry: (_depth(api, entry[0]), int(entry[0])))):
        definition = info[node["class_type"]]
        inputs, values = [], []
        specs = {name: spec for part in ("required", "optional") for name, spec in definition["input"].get(part, {}).items()}
        for name, spec in specs.items():
            value = node["inputs"].get(name)
            if is_widget(spec) and not isinstance(value, list):
                options = spec[1] if len(spec) > 1 else {}
                values.append(value if value is not None else options.get("default"))
                inputs.append({"name": name, "type": kind_of(spec), "widget": {"name": name}, "link": None})
                if options.get("control_after_generate"):
                    values.append("fixed")
                if options.get("image_upload"):
                    values.append("image")
            else:
                link = None
                if isinstance(value, list):
                    link = len(links) + 1
                    links.append([link, int(value[0]), value[1], int(key), len(inputs), kind_of(spec)])
                inputs.append(
                    {"name": name, "type": kind_of(spec), "link": link}
                    | ({"shape": 7} if name in definition["input"].get("optional", {}) else {})
                )
        outputs = [
            {"name": name, "type": kind, "links": []} for name, kind in zip(definition["output_name"], definition["output"], strict=True)
        ]
        height = TITLE + ROW * (max(len(inputs) - len(values), len(outputs)) + len(values)) + (60 if "text" in node["inputs"] else 0)
        height += 260 if definition["output_node"] or node["class_type"] == "LoadImage" else 0
        column = _depth(api, key)
        top = columns.get(column, 0.0)
        columns[column] = top + height + GAP + TITLE + (260 if node["class_type"] in PREVIEWS else 0)
        nodes[key] = {
            "id": int(key), "type": node["class_type"], "title": node["_meta"]["title"], "pos": [column * COLUMN, top], "size": [WIDTH, height],
            "flags": {}, "order": order, "mode": 0, "inputs": inputs, "outputs": outputs,
            "properties": {"Node name for S&R": node["class_type"]}, "widgets_values": values,
        }  # fmt: skip
    for link, source, slot, *_ in links:
        nodes[str(source)]["outputs"][slot]["links"].append(link)
    last = max(int(key) for key in api)
    extra = [
        {"id": last + 1 + place, "type": "MarkdownNote", "pos": [-COLUMN, place * 300], "size": [WIDTH, 260], "flags": {}, "order": 0, "mode": 0,
         "inputs": [], "outputs": [], "properties": {}, "widgets_values": [note]}
        for place, note in enumerate(notes)
    ]  # fmt: skip
    return {
        "last_node_id": last + len(notes), "last_link_id": len(links), "nodes": [*nodes.values(), *extra], "links": links,
        "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }  # fmt: skip


def _depth(api: dict[str, Any], key: str) -> int:
    """How many nodes must run one after another before this one."""
    sources = [value[0] for value in api[key]["inputs"].values() if isinstance(value, list)]
    return 1 + max((_depth(api, source) for source in sources), default=-1)


NOTES = {
    "edit": [
        "## Edit a photo\nLoad a photo, choose your checkpoint, write what to remove and what to add, and run.\n\n"
        "The inversion is computed once. Change a concept and run again: only the edit is repeated.",
        "## What to turn\n- **Nothing happens**: raise *scale*, lower *warmup* or *skip*.\n- **Too much changes**: raise *threshold* or *warmup*.\n"
        "- **The wrong thing changes**: name the thing in *words*, or draw a *mask*.\n\n"
        "The values here suit the small drawing checkpoint. For photos on SD 1.5 or SDXL start with skip 0.15, scale 7, threshold 0.9, "
        "mask_mode intersect, warmup 2, cooldown 0, and set the Attention Store's *resolution* to 0.",
    ]
}


def main() -> None:
    source, target = (Path(argument) for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        info = server.get("/object_info")
    workflow = ui_workflow(json.loads(source.read_text()), info, NOTES.get(source.stem, []))
    target.write_text(json.dumps(workflow, indent=1) + "\n")


if __name__ == "__main__":
    main()
