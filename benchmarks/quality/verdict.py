"""What is seen in an edited picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether an edit did what was asked, and whether the rest is still what it was.

    Attributes:
        success: whether every change happened.
        degree: how far, in 0..1; for comparing settings where success alone is too coarse.
        others_kept: whether the other objects are what they were; None where there are none.
    """

    success: bool
    degree: float
    others_kept: bool | None
