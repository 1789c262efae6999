"""A line of text on a node."""

from __future__ import annotations

from comfy_api.latest import io, ui


def notice(node: type[io.ComfyNode], text: str) -> dict[str, tuple[str, ...]]:
    """Shows a text on the running node; the result belongs into the node's `ui` output, where the run's history keeps it.

    Args:
        node: the class that executes, whose schema asks for its hidden unique_id.
    """
    if node.hidden is not None and node.hidden.unique_id is not None:
        from server import PromptServer  # only where one runs

        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    return ui.PreviewText(text).as_dict()
