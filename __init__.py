"""LEDITS++ for ComfyUI."""

import re

from comfyui_version import __version__

# The oldest of pyproject.toml; () is a version without numbers.
if () < tuple(map(int, re.findall(r"\d+", __version__))) < (0, 16, 3):
    raise ImportError(f"LEDITS++ needs ComfyUI 0.16.3 or newer, but this is ComfyUI {__version__}: update ComfyUI")

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"  # where the front end finds the help pages and the script


class LeditsExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


async def comfy_entrypoint() -> LeditsExtension:
    return LeditsExtension()
