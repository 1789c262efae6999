"""ComfyUI's page as the place where workflows are built, opened, exported and saved."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.host.comfy_server import ComfyServer
from scripts.host.front_end import SETTINGS, FrontEnd

from scripts.paths import CHECKOUT
from scripts.scenes.shown import lay_out

from .drawn import pictures
from .graphs import WORKFLOWS as WRITTEN
from .parts import Workflow

SCRIPT = (Path(__file__).parent / "canvas.js").read_text()
OF_THE_PAGE = ("id", "revision", "config", "extra")
"""Parts of a saved workflow that are of the page that saved it and not of the workflow."""


@contextlib.contextmanager
def opened() -> Iterator[FrontEnd]:
    """The page on a server of its own, with the pictures and models that the workflows name."""
    with tempfile.TemporaryDirectory(prefix="ledits-canvas-") as name:
        folder = Path(name)
        for part in ("base/input", "base/user/default", "profile"):
            (folder / part).mkdir(parents=True)
        for file, picture in pictures().items():
            picture.save(folder / "base/input" / file)
        stand_in_for_models(folder / "base/models")
        lay_out(folder / "base")
        (folder / "base/user/default/comfy.settings.json").write_text(json.dumps(SETTINGS))
        with ComfyServer(folder / "base") as server, FrontEnd(server, folder / "profile") as page:
            yield page


def stand_in_for_models(folder: Path) -> None:
    """Empty files of the models that the workflows name: the page looks on the internet for those that are missing."""
    for file in (file for workflow in WRITTEN.values() for node in workflow.nodes() for file in node.files):
        path = folder / file.directory / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def build(page: FrontEnd, workflow: Workflow) -> dict[str, Any]:
    """The workflow as the page saves it."""
    page.js(f"{SCRIPT}; build(arguments[0])", described(workflow))
    app = {"linearMode": False, "linearData": workflow.app} if workflow.app else {}
    return lasting(saved(page) | {"extra": app}, workflow.name)


def described(workflow: Workflow) -> dict[str, Any]:
    def of(node: Any) -> dict[str, Any]:
        kept = {name: getattr(node, name) for name in ("id", "kind", "title", "mode", "size", "widgets", "labels")}
        inside = described(node.inside.graph) | {"inputs": node.inside.inputs, "outputs": node.inside.outputs} if node.inside else None
        return kept | {
            "inside": inside,
            "links": {name: list(link) for name, link in node.links.items()},
            "files": [vars(file) for file in node.files],
        }

    return {
        "groups": [
            [
                {"title": group.title, "colour": group.colour, "columns": [[of(node) for node in column] for column in group.columns]}
                for group in place
            ]
            for place in workflow.groups
        ]
    }


def saved(page: FrontEnd) -> dict[str, Any]:
    """The open graph as a workflow file."""
    graph = json.loads(page.js("return JSON.stringify(app.rootGraph.serialize())"))
    return {name: value for name, value in graph.items() if name not in OF_THE_PAGE} | {"extra": {}, "config": {}}


def lasting(graph: dict[str, Any], name: str) -> dict[str, Any]:
    """The page gives parts of a subgraph new random ids each time; these are the same each time."""
    text = json.dumps(graph)
    found = dict.fromkeys(re.findall(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", text))
    for place, there in enumerate(found):
        text = text.replace(there, str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {place}")))
    return json.loads(text)


def exported(page: FrontEnd) -> dict[str, Any]:
    """The open graph as the page would send it to the server: what 'Export (API)' writes."""
    return json.loads(page.js("return app.graphToPrompt().then(made => JSON.stringify(made.output))"))


def written(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


WORKFLOWS = CHECKOUT / "workflows"
SUBGRAPHS = CHECKOUT / "subgraphs"
