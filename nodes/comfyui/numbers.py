"""A grid of edits: one concept with every pair of two settings' values."""

from __future__ import annotations


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
