"""What the pack's own files may import and call: read from their text, without running any of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

LIBRARIES = ("torch", "numpy", "safetensors", "PIL", *sys.stdlib_module_names)
STEADY_HOST = (
    "comfy_api",
    "folder_paths",
    "latent_preview",
    "comfy.utils",
    "comfy.model_management",
    "comfy.model_patcher",
    "comfy.samplers",
)
"""What a node may use of ComfyUI: its public interface, and what says where things lie."""
HOST = ("comfy", "comfy_api", "comfyui_version", "folder_paths", "latent_preview", "server")
"""What nodes/comfyui/ may use of it: the hooks too."""

HOOKS = (("nodes.comfyui", "nodes.errors", "ledits"), (*LIBRARIES, *HOST))
LAYERS = {
    ".": (("nodes",), (*LIBRARIES, "comfy_api", "comfyui_version")),
    "ledits": (("ledits",), LIBRARIES),
    "nodes": (("nodes", "ledits"), (*LIBRARIES, *STEADY_HOST)),
    "nodes/comfyui": HOOKS,
    "fleet": (("fleet",), (*LIBRARIES, "ray", "filelock", "main", "execution", "folder_paths")),
    **{f"nodes/comfyui/{room}": HOOKS for room in ("attention", "images", "sampling", "storage")},
    "nodes/comfyui/text": (HOOKS[0], (*HOOKS[1], "transformers")),  # ComfyUI's tokenizers are of this library
}
"""By folder: what it may import of the pack, one direction only, and of others."""

OUT_OF_REACH = (
    *("pickle", "marshal", "shelve"),  # run what they read
    *("subprocess", "multiprocessing", "pty", "ctypes", "runpy", "code", "importlib"),  # run something else
    *("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "asyncio", "webbrowser"),  # speak to others
)
BUILTINS = ("eval", "exec", "compile", "__import__", "breakpoint")
CALLS = (
    *("os.system", "os.popen", "os.startfile", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn"),
    *("torch.load", "torch.jit.load", "torch.hub", "numpy.load", "np.load"),
)


def published() -> list[Path]:
    """Every Python file that users get: all but what .comfyignore names."""
    left_out = {line.strip().rstrip("/") for line in (CHECKOUT / ".comfyignore").read_text().splitlines()}
    parts = [part for part in CHECKOUT.iterdir() if part.name not in left_out and not part.name.startswith(".")]
    return sorted(file for part in parts for file in ([part] if part.suffix == ".py" else part.rglob("*.py")))


def imports(tree: ast.AST, folder: str) -> Iterator[tuple[bool, str]]:
    """Whether it is of the pack, and the full name, of all that is imported anywhere in a file of this folder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((False, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = PurePosixPath(folder).parts
            here = parts[: len(parts) - node.level + 1] if node.level else ()
            yield from ((node.level > 0, ".".join((*here, *filter(None, (node.module, alias.name))))) for alias in node.names)


def is_of(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def offences(source: str, folder: str) -> list[str]:
    """All that a file of this folder may not import or call."""
    tree = ast.parse(source)
    ours, others = LAYERS[folder]
    found = list(imports(tree, folder))
    called = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)] + [name for _, name in found]
    return [
        *(name for of_the_pack, name in found if not is_of(name, ours if of_the_pack else others)),
        *(name for of_the_pack, name in found if not of_the_pack and is_of(name, OUT_OF_REACH)),
        *(name for name in called if name.startswith(CALLS)),
        *(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in BUILTINS),
    ]


@pytest.mark.parametrize("file", published(), ids=lambda file: file.relative_to(CHECKOUT).as_posix())
def test_a_file_keeps_to_its_layer_and_to_itself(file):
    assert offences(file.read_text(), file.parent.relative_to(CHECKOUT).as_posix()) == []


def test_every_layer_is_looked_at():
    assert {file.parent.relative_to(CHECKOUT).as_posix() for file in published()} == set(LAYERS)


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("ledits", "import comfy.utils"),
        ("ledits", "from ..nodes import checks"),
        ("ledits", "from nodes.checks import base"),
        ("ledits", "import scipy"),
        ("nodes", "import comfy.patcher_extension"),
        ("nodes", "from comfy import patcher_extension"),
        ("nodes", "from comfy.ldm.modules import attention"),
        ("nodes", "import tqdm"),
        ("nodes", "from .. import LeditsExtension"),
        ("nodes/comfyui", "from ..checks import base"),
        ("nodes/comfyui", "from ... import tests"),
        ("nodes", "import pickle"),
        ("nodes", "def late():\n    from urllib.request import urlopen"),
        ("nodes", "from os import system"),
        ("nodes", "import os\nos.execvp('ls', [])"),
        ("ledits", "import torch\ntorch.load('weights.pt')"),
        ("ledits", "eval('1')"),
        ("nodes", "from ..fleet import photos"),
        ("ledits", "import ray"),
        ("fleet", "from ..nodes import checks"),
        ("fleet", "import subprocess"),
    ],
)
def test_what_does_not_belong_is_found(folder, line):
    assert offences(line, folder) != []
