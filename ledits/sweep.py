"""A grid of edits: one concept with every pair of two settings' values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .heatmap import labelled

GAP = 8
"""Pixels between the pictures of a sheet."""


def values_of(text: str) -> tuple[float, ...]:
    """The numbers of "3, 5, 8", in their order and each once.

    Raises:
        ValueError: naming what is no number, or saying that there is none.
    """
    found = []
    for part in text.replace(";", ",").split(","):
        if part.strip():
            try:
                found.append(float(part))
            except ValueError:
                raise ValueError(
                    f"holds {part.strip()!r}, which is no number: write numbers with commas between them, such as 3, 5, 8"
                ) from None
    if not found:
        raise ValueError("holds no number: write the values to try, such as 3, 5, 8")
    return tuple(dict.fromkeys(found))


def contact_sheet(pictures: Sequence[Tensor], labels: Sequence[str], columns: int) -> Tensor:
    """Labelled pictures in rows of so many columns, [B, H', W', 3].

    Args:
        pictures: each [B, H, W, 3] in 0..1.
    """
    longest = max(map(len, labels))
    panels = [labelled(picture, label, longest) for picture, label in zip(pictures, labels, strict=True)]
    rows = [_apart(panels[start : start + columns], 2) for start in range(0, len(panels), columns)]
    return _apart(rows, 1)


def _apart(parts: Sequence[Tensor], side: int) -> Tensor:
    gap = list(parts[0].shape)
    gap[side] = GAP
    between = parts[0].new_ones(gap)
    return torch.cat([piece for part in parts for piece in (between, part)][1:], side)
