"""Messages to the person at the canvas."""

from collections.abc import Iterator
from contextlib import contextmanager

PACK = "LEDITS++"


class LeditsInputError(ValueError):
    """Something at an input that the user can fix.

    Args:
        name: the input.
        problem: what is wrong, with which value, and what to do.
        node: display name of the node that has the input; see `named`.
    """

    def __init__(self, name: str, problem: str, node: str = PACK):
        super().__init__(f"{node}, input '{name}': {problem}")
        self.name, self.problem, self.node = name, problem, node


def require(valid: object, name: str, problem: str) -> None:
    """Refuses what is at an input unless it is valid."""
    if not valid:
        raise LeditsInputError(name, problem)


@contextmanager
def named(node: str) -> Iterator[None]:
    """Names the node in errors that name none, and says that it is concerned in those that name another."""
    try:
        yield
    except LeditsInputError as error:
        problem = error.problem if error.node in (PACK, node) else f"{error.problem} (used by {node})"
        raise LeditsInputError(error.name, problem, node if error.node == PACK else error.node) from error
