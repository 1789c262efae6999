"""What a method gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Result:
    """What a method made of one edit.

    Attributes:
        samples: [1, C, h, w] the edited latent.
        masks: by mask mode, the cells that each concept may change in each active step, [steps, concepts, h, w] bool. All of them
            are cut at the states that the edit passed through, whichever of them it used.
        grid: rows and columns of the attention maps.
        replay_error: largest difference between the latent and its replay without any edit; None where it was not asked for, or
            the method has no replay.
    """

    samples: Tensor
    masks: dict[str, Tensor] = field(default_factory=dict)
    grid: tuple[int, int] = (0, 0)
    replay_error: float | None = None
