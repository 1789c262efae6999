"""Messages to the person at the canvas."""

PACK = "LEDITS++"


class LeditsInputError(ValueError):
    """Something at an input that the user can fix.

    Args:
        name: the input.
        problem: what is wrong, with which value, and what to do.
        node: display name of the node that has the input; `validation.validated` fills in the one that runs.
    """

    def __init__(self, name: str, problem: str, node: str = PACK):
        super().__init__(f"{node}, input '{name}': {problem}")
        self.name, self.problem, self.node = name, problem, node


def require(valid: object, name: str, problem: str) -> None:
    """Refuses what is at an input unless it is valid."""
    if not valid:
        raise LeditsInputError(name, problem)
