"""Where things lie and who may import whom: the tree in CONTRIBUTING.md is the folders, and imports go in one direction."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from scripts.paths import CHECKOUT

LAYERS = {
    "scripts": (),
    "benchmarks": ("scripts",),
    "tests/support": ("scripts", "benchmarks"),
    "tests": ("scripts", "benchmarks", "support"),
}
"""By folder: what it may import beside itself. Nothing here is imported by the pack; see tests/unit/test_imports.py."""
TOP = {"scripts", "benchmarks", "support", "tests"}
SHOWN_INSIDE = ("ledits", "nodes", "fleet", "nodes/comfyui", "scripts", "benchmarks", "tests")
"""Folders whose own folders stand in the tree."""
FILES = sorted(file for folder in ("scripts", "benchmarks", "tests") for file in (CHECKOUT / folder).rglob("*.py"))


def layer_of(file: Path) -> str:
    path = file.relative_to(CHECKOUT).as_posix()
    return next(layer for layer in ("tests/support", "tests", "benchmarks", "scripts") if path.startswith(f"{layer}/"))


def module_of(file: Path) -> str:
    parts = file.relative_to(CHECKOUT).with_suffix("").parts
    parts = parts[1:] if parts[:2] == ("tests", "support") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, is_package: bool = False) -> set[str]:
    """The full names of all that is imported anywhere in a module, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            start = package[: len(package) - node.level + 1] if node.level else []
            found |= {".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return found


def foreign(source: str, layer: str, module: str) -> list[str]:
    """What a file of this layer imports from a layer that it may not know."""
    own = {"tests/support": "support", "tests": ""}.get(layer, layer)
    return sorted(name for name in imports(source, module) if (top := name.split(".")[0]) in TOP and top not in (own, *LAYERS[layer]))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_those_below_it(layer):
    files = [file for file in FILES if layer_of(file) == layer]
    assert files
    assert {module_of(file): names for file in files if (names := foreign(file.read_text(), layer, module_of(file)))} == {}


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("scripts", "from benchmarks.quality import edits"),
        ("scripts", "def late():\n    from support import third_party"),
        ("benchmarks", "import support.presets"),
        ("tests/support", "from tests.host import conftest"),
        ("tests", "from .conftest import SCENE"),
    ],
)
def test_a_wrong_import_is_found(layer, line):
    assert foreign(line, layer, f"{layer.replace('/', '.')}.module") != []


def test_no_two_modules_import_each_other():
    modules = {module_of(file): file for file in FILES if layer_of(file) != "tests"}
    graph = {}
    for module, file in modules.items():
        names = imports(file.read_text(), module, file.name == "__init__.py")
        # `from a import b` names the module a.b, or something inside of a.
        graph[module] = {name if name in modules else name.rpartition(".")[0] for name in names} & modules.keys()
    TopologicalSorter(graph).prepare()


def test_only_the_set_up_of_the_environment_decides_where_python_finds_modules():
    changed = re.compile(r"sys\.path(\[|\.|\s*[+=])")
    assert [file.relative_to(CHECKOUT).as_posix() for file in FILES if changed.search(file.read_text())] == []


def tree(page: str) -> set[str]:
    """The folders in the tree of a page, a line each, those inside another indented by two more spaces."""
    (block,) = re.findall(r"^```\n(__init__\.py .*?)^```", page, re.MULTILINE | re.DOTALL)
    folders, inside = set(), []
    for indent, name in re.findall(r"^( *)([\w/]+)/ ", block, re.MULTILINE):
        inside = [*inside[: len(indent) // 2], name]
        folders.add("/".join(inside))
    return folders


def holds_files(folder: Path) -> bool:
    """Whether it is more than what Python left behind of files that moved away."""
    return any(file.is_file() and "__pycache__" not in file.parts for file in folder.rglob("*"))


def folders_in(folder: Path) -> set[str]:
    """Its folders, but for hidden ones and what is not part of the repository."""
    return {
        inner.relative_to(CHECKOUT).as_posix()
        for inner in folder.iterdir()
        if not inner.name.startswith((".", "_")) and inner != CHECKOUT / "output" and holds_files(inner)
    }


def test_the_tree_for_contributors_is_the_folders():
    named = tree((CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    there = folders_in(CHECKOUT).union(*(folders_in(CHECKOUT / folder) for folder in SHOWN_INSIDE))
    assert there - named == set(), "not in the tree"
    assert {folder for folder in named if not (CHECKOUT / folder).is_dir()} == set(), "in the tree and not there"


def test_a_tree_is_read_with_what_is_inside():
    page = "```\n__init__.py  registers\na/  one\n  b/  two\n    c/  three\n  d/  four\ne/f/  five\n```\n"
    assert tree(page) == {"a", "a/b", "a/b/c", "a/d", "e/f"}
