"""Tests take few steps to be quick. What they test is the second order that more steps have, so it is theirs too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from scripts.host import in_comfy


@contextmanager
def second_order(steps: int = 0) -> Iterator[None]:
    """Takes so many steps, and fewer, for few; none by default."""
    solver = importlib.import_module(f"{in_comfy.pack().__name__}.ledits.solver")
    with mock.patch.object(solver, "FEW_STEPS", steps):
        yield
