"""How a workflow is written down here: nodes with their inputs, in columns, in titled groups that stand side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Link = tuple[int, int]
"""A node's id and the place of one of its outputs."""

BYPASSED = 4
"""The front end's mode of a node that is switched off and lets its inputs through."""

BLUE, GREEN, AMBER, PURPLE = "#3f789e", "#88aa88", "#b58b2a", "#a58bc0"


@dataclass(frozen=True)
class File:
    """A model file: the page offers to fetch it where it is missing."""

    name: str
    url: str
    directory: str


@dataclass(frozen=True)
class Subgraph:
    """A graph that is one node outside."""

    graph: Workflow
    inputs: list[tuple[str, list[tuple[int, str]]]]
    """Their names, and what each feeds inside; those of widgets are shown as widgets."""
    outputs: list[tuple[str, int, int]]


@dataclass(frozen=True)
class Node:
    """A node. Inputs are values of widgets, or links."""

    id: int
    kind: str
    inputs: dict[str, Any]
    title: str = ""
    mode: int = 0
    size: tuple[int, int] = (320, 0)
    """Wanted width and height; it is larger where its widgets need more."""
    files: tuple[File, ...] = ()
    """Those that it loads."""
    inside: Subgraph | None = None
    labels: dict[str, str] = field(default_factory=dict)
    """What the page calls some of its widgets, instead of their names."""

    @property
    def links(self) -> dict[str, Link]:
        return {name: value for name, value in self.inputs.items() if isinstance(value, tuple)}

    @property
    def widgets(self) -> dict[str, Any]:
        return {name: value for name, value in self.inputs.items() if not isinstance(value, tuple)}


@dataclass(frozen=True)
class Group:
    """Nodes in columns, each from top to bottom, on a titled ground."""

    title: str
    columns: list[list[Node]]
    colour: str = "#3f5159"


@dataclass(frozen=True)
class Workflow:
    """Groups from left to right; those of one list stand below one another."""

    name: str
    groups: list[list[Group]]
    app: dict[str, list[Any]] | None = None
    """What App Mode shows: the inputs, each [node, widget] and perhaps {"height": pixels}, and the outputs."""

    def nodes(self) -> Iterator[Node]:
        for place in self.groups:
            for group in place:
                for column in group.columns:
                    yield from column


SHOWN = {
    "LoadImage": (320, 380),
    "SaveImage": (420, 460),
    "PreviewImage": (420, 460),
    "MaskPreview": (320, 380),
    "CLIPTextEncode": (320, 120),
    "LEDITS_Concept": (320, 430),
    "LEDITS_Invert": (320, 420),
    "LEDITS_Edit": (320, 660),
    "LEDITS_ExtractMask": (320, 480),
    "LEDITS_Heatmap": (320, 350),
    "LEDITS_Sweep": (340, 750),
    "SamplerCustomAdvanced": (320, 400),
    "KSampler": (320, 520),
    "LEDITS_ProbeAttention": (320, 450),
}
"""Room for pictures, previews and text after a run, by the kind of node, in the classic canvas and in Nodes 2.0."""


def node(
    number: int,
    kind: str,
    title: str = "",
    *,
    mode: int = 0,
    size: tuple[int, int] | None = None,
    files: tuple[File, ...] = (),
    inside: Subgraph | None = None,
    labels: dict[str, str] | None = None,
    **inputs: Any,
) -> Node:
    return Node(number, kind, inputs, title, mode, size or SHOWN.get(kind, (320, 0)), files, inside, labels or {})


def note(number: int, text: str, size: tuple[int, int] = (340, 250)) -> Node:
    """A note node; its text is Markdown."""
    return Node(number, "MarkdownNote", {"": text}, size=size)


def as_large_as_the_original() -> Node:
    """Scales the decoded edit (node 10) to the size that node 42 reads off the original."""
    to_size = {"upscale_method": "lanczos", "width": (42, 0), "height": (42, 1), "crop": "disabled"}
    return node(43, "ImageScale", "As large as the original", image=(10, 0), **to_size)
