"""Each method with the strength that is best for each kind of edit: found on one half of the edits, scored on the other, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .report import Score, summary

LEAST_PSNR = 25.0
"""What counts as a background that was kept, in dB. Without such a bound img2img would always take all of the noise."""

Strengths = Sequence[Sequence[Score]]
"""From weak to strong, one score for each edit."""


def choose(scored: Mapping[str, Strengths]) -> dict[str, dict[str, Any]]:
    """By method: the numbers of each kind's strengths, for even and for odd edits, and the figures of the edits with these."""
    chosen = {}
    for name, strengths in scored.items():
        kinds = dict.fromkeys(one.edit.kind for one in strengths[0])
        best = {kind: [_best(strengths, kind, 1 - half) for half in (0, 1)] for kind in kinds}
        picked = [each[best[each[0].edit.kind][each[0].edit.number % 2]] for each in zip(*strengths, strict=True)]
        chosen[name] = {"strengths": best} | summary(picked)
    return chosen


def _best(strengths: Strengths, kind: str, half: int) -> int:
    """On the edits of this half, even (0) or odd (1)."""
    on = [[one for one in scores if one.edit.kind == kind and one.edit.number % 2 == half] for scores in strengths]
    return max(range(len(on)), key=lambda number: _worth(on[number]))


def _worth(scores: Sequence[Score]) -> float:
    """Success before all else, with the background kept; of equal ones the cleaner."""
    psnr = float(np.mean([one.psnr for one in scores]))
    return float(np.mean([one.verdict.success for one in scores])) - 0.1 * max(0.0, LEAST_PSNR - psnr) + 0.001 * psnr
