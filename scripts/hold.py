"""`make hold`: keeps what people's workflow files rely on in this version, under tests/releases/<version>/, for every later one to load.

nodes.json is each node's contract; edit.json and edit.api.json are the simple workflow as people have saved it. A version that is out is
never held anew: its files are what people have.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from scripts.host.comfy_server import ComfyServer

import tomllib

from scripts.paths import CHECKOUT, RELEASES

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def contract(info: dict[str, Any]) -> dict[str, Any]:
    """Of each node of the pack: its inputs with their types, its outputs in order, its widgets in order, and what its lists offer."""
    made = {}
    for kind, node in info.items():
        if not kind.startswith("LEDITS_") or kind.startswith("LEDITS_TEST_"):
            continue
        inputs = {name: spec for part in ("required", "optional") for name, spec in node["input"].get(part, {}).items()}
        types = {name: "COMBO" if isinstance(spec[0], list) else spec[0] for name, spec in inputs.items()}
        made[kind] = {
            "inputs": types,
            "outputs": list(zip(node["output_name"], node["output"], strict=True)),
            "widgets": [name for name, kind in types.items() if kind in WIDGETS],
            "needed": [
                name
                for name, spec in node["input"].get("required", {}).items()
                if types[name] not in WIDGETS or "default" not in (spec[1] if len(spec) > 1 else {})
            ],
            "choices": {name: choices(spec) for name, spec in inputs.items() if types[name] == "COMBO"},
        }
    return json.loads(json.dumps(made))


def choices(spec: list[Any]) -> list[Any]:
    return spec[0] if isinstance(spec[0], list) else spec[1].get("options", [])


def main() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        nodes = contract(server.get("/object_info"))
    target = RELEASES / version
    target.mkdir(exist_ok=True)
    (target / "nodes.json").write_text(json.dumps(nodes, indent=1) + "\n")
    shutil.copy(CHECKOUT / "workflows" / "try_it.json", target / "edit.json")
    shutil.copy(CHECKOUT / "workflows" / "api" / "try_it.json", target / "edit.api.json")
    print(f"{target}: {len(nodes)} nodes")


if __name__ == "__main__":
    main()
