"""Each method with the strength that is best for each kind of edit: found on some edits, scored on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .report import Score, summary

LEAST_PSNR = 25.0
"""What counts as a background that was kept, in dB. Without such a bound img2img would always take all of the noise."""

Strengths = Sequence[Sequence[Score]]
"""From weak to strong, one score for each edit."""


def choose(found_on: Mapping[str, Strengths], scored: Mapping[str, Strengths]) -> dict[str, dict[str, Any]]:
    """By method: the number of each kind's strength, and the figures of the scored edits with these."""
    chosen = {}
    for name, strengths in found_on.items():
        kinds = dict.fromkeys(one.edit.kind for one in strengths[0])
        best = {kind: _best(strengths, kind) for kind in kinds}
        picked = [each[best[each[0].edit.kind]] for each in zip(*scored[name], strict=True)]
        chosen[name] = {"strengths": best} | summary(picked)
    return chosen


def _best(strengths: Strengths, kind: str) -> int:
    return max(range(len(strengths)), key=lambda number: _worth(strengths[number], kind))


def _worth(scores: Sequence[Score], kind: str) -> float:
    """Success before all else, with the background kept; of equal ones the cleaner."""
    of_kind = [one for one in scores if one.edit.kind == kind]
    psnr = float(np.mean([one.psnr for one in of_kind]))
    return float(np.mean([one.verdict.success for one in of_kind])) - 0.1 * max(0.0, LEAST_PSNR - psnr) + 0.001 * psnr
