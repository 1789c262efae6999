"""LEDITS++ for ComfyUI."""

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"  # where the front end finds the help pages and the script


class LeditsExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


async def comfy_entrypoint() -> LeditsExtension:
    return LeditsExtension()
