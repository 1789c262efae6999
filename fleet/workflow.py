"""A workflow in API format: where its photo goes in, where the result comes out, and which values change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FleetError
from .photos import slug

Prompt = dict[str, dict[str, Any]]
"""Nodes by id, each {"class_type": ..., "inputs": {...}}."""

PHOTO = "photo.png"
"""What every photo is called in a worker's input folder, so that no name of a file can matter."""


@dataclass(frozen=True)
class Workflow:
    """A prompt with its one node that loads the photo and its one node that saves the result."""

    prompt: Prompt
    image: str
    save: str

    @classmethod
    def from_file(cls, path: Path, image: str | None = None, save: str | None = None) -> Workflow:
        try:
            prompt = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FleetError(f"{path} cannot be read as a workflow: {error}") from None
        if not isinstance(prompt, dict) or not all(isinstance(node, dict) and "class_type" in node for node in prompt.values()):
            raise FleetError(f"{path} is not in API format: in ComfyUI choose Workflow → Export (API), and take that file.")
        return cls(prompt, _only_node(prompt, "LoadImage", image, "--image"), _only_node(prompt, "SaveImage", save, "--save"))

    def with_values(self, values: Mapping[str, str]) -> Workflow:
        """The workflow with other values, by NODE.input or, where a single node has it, by the input alone."""
        prompt = {key: node | {"inputs": dict(node["inputs"])} for key, node in self.prompt.items()}
        for target, text in values.items():
            node, name = self._find_input(target)
            prompt[node]["inputs"][name] = _typed(target, text, prompt[node]["inputs"][name])
        return Workflow(prompt, self.image, self.save)

    def prompt_of(self, name: str) -> Prompt:
        """What ComfyUI runs for a photo of this name. Titles are left out: they change no result."""
        prompt = {key: {"class_type": node["class_type"], "inputs": dict(node["inputs"])} for key, node in self.prompt.items()}
        prompt[self.image]["inputs"]["image"] = PHOTO
        if "filename_prefix" in prompt[self.save]["inputs"]:
            # A name of its own for every photo: ComfyUI would not save a second photo of the same content again.
            prompt[self.save]["inputs"]["filename_prefix"] = slug(name)
        return prompt

    def key(self) -> str:
        """The same for workflows that give the same results."""
        return hashlib.sha256(json.dumps(self.prompt_of(""), sort_keys=True).encode()).hexdigest()[:16]

    def seeds(self) -> dict[str, int]:
        found = {f"{key}.{name}": node["inputs"][name] for key, node in self.prompt.items() for name in node["inputs"]}
        return {target: value for target, value in found.items() if target.endswith("seed") and isinstance(value, int)}

    def _find_input(self, target: str) -> tuple[str, str]:
        named, dot, name = target.rpartition(".")
        nodes = [key for key, node in self.prompt.items() if not dot or named in (key, node.get("_meta", {}).get("title"))]
        if dot and not nodes:
            raise FleetError(f"{target}: the workflow has no node {named!r}; it has {_listed(self.prompt)}.")
        found = [key for key in nodes if name in self.prompt[key]["inputs"]]
        if len(found) != 1:
            what = "has no" if not found else "has more than one"
            raise FleetError(
                f"{target}: the workflow {what} input {name!r} there; name it as NODE.{name}, with one of {_inputs(self.prompt, name)}."
            )
        return found[0], name


def _only_node(prompt: Prompt, kind: str, named: str | None, option: str) -> str:
    """The id of the node that a person named, by id or title, or else of the only one of its kind."""
    found = [
        key for key, node in prompt.items() if (named in (key, node.get("_meta", {}).get("title")) if named else node["class_type"] == kind)
    ]
    if len(found) == 1:
        return found[0]
    if named:
        raise FleetError(f"{option} {named}: {len(found)} nodes of the workflow have this id or title; it has {_listed(prompt)}.")
    raise FleetError(
        f"The workflow has {len(found)} {kind} nodes where one is needed; name the right node with {option}, of {_listed(prompt)}."
    )


def _typed(target: str, text: str, current: Any) -> Any:
    """A value of the type that the input has in the workflow."""
    if isinstance(current, list):
        raise FleetError(f"{target} is a connection in the workflow, not a value; choose another input, or disconnect it.")
    if isinstance(current, str):
        return text
    try:
        value = json.loads(text.lower() if isinstance(current, bool) else text)
    except ValueError:
        value = None
    if isinstance(value, bool) != isinstance(current, bool) or not isinstance(value, int | float):
        raise FleetError(
            f"{target} is {current!r} in the workflow, but {text!r} is not {'true or false' if isinstance(current, bool) else 'a number'}."
        )
    return value


def _listed(prompt: Prompt) -> str:
    return ", ".join(f"{key} ({node.get('_meta', {}).get('title', node['class_type'])})" for key, node in prompt.items())


def _inputs(prompt: Prompt, name: str) -> str:
    """The nodes that have this input, or else every input that takes a value."""
    having = [f"{key}.{name}" for key, node in prompt.items() if name in node["inputs"]]
    return ", ".join(
        having or (f"{key}.{each}" for key, node in prompt.items() for each, value in node["inputs"].items() if not isinstance(value, list))
    )
