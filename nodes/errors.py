"""Messages to the person at the canvas."""

from __future__ import annotations


class LeditsInputError(ValueError):
    """Something at an input that the user can put right: names the node, the input, the value and what to do."""

    def __init__(self, node: str, name: str, problem: str):
        super().__init__(f"{node}, input '{name}': {problem}")
