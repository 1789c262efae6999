"""What is measured on which network, how often, and how long it may take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Group = tuple[tuple[str, ...], int, float]
"""Rows that are measured in turn, how many rounds of them at most, and the seconds that they may take together."""

EDITS = ("edit_1", "edit_2", "edit_4", "edit_8")
WHOLE_JOB = ("inversion", "edit_1")
SHORT = ("inversion", *EDITS, "edit_again", "capture", "mask_extraction")


@dataclass(frozen=True)
class Times:
    """How one subject is timed.

    Attributes:
        warmup: first step in which concepts act.
        lengths: numbers of steps of whole jobs, to see how the cost grows.
        default_attention: with what ComfyUI chooses by itself instead of PyTorch's attention; ours and the bare calls alone.
    """

    subject: str
    steps: int
    warmup: int
    groups: tuple[Group, ...]
    lengths: tuple[int, ...] = ()
    default_attention: bool = False

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Times:
        return cls(**plain)


@dataclass(frozen=True)
class Memory:
    """Whose memory is measured on one subject, each in a process of its own.

    Attributes:
        needs_gb: of free memory, weights and all.
    """

    subject: str
    who: tuple[str, ...] = ("ours", "ksampler", "diffusers")
    needs_gb: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Everything that a run of the bench measures, in this order.

    Attributes:
        headline: the subject of the figures at the top.
    """

    times: tuple[Times, ...]
    memory: tuple[Memory, ...]
    headline: str
    demo: bool


FULL = Plan(
    (
        Times("small 256", 20, 2, ((SHORT, 5, 150), (("sweep_9",), 5, 70)), (5, 10, 20, 40)),
        Times("small 512", 4, 0, ((WHOLE_JOB, 5, 30),)),
        Times("small 1024", 3, 0, ((WHOLE_JOB, 5, 70),)),
        Times("SD 1.5 256", 1, 0, ((WHOLE_JOB, 3, 100), (("edit_2", "edit_4", "edit_8"), 5, 300))),
        Times("SD 1.5 512", 1, 0, ((WHOLE_JOB, 5, 330),)),
        Times("SD 1.5 512", 1, 0, ((("edit_1",), 2, 110),), default_attention=True),
    ),
    (Memory("small 2048", needs_gb=13), Memory("SD 1.5 512", needs_gb=9)),
    "SD 1.5 512",
    True,
)

QUICK = Plan(
    (
        Times("small 256", 8, 2, ((SHORT, 3, 20), (("sweep_9",), 1, 10)), (4, 8)),
        Times("SD 1.5 256", 1, 0, ((WHOLE_JOB, 2, 50),)),
        Times("SD 1.5 256", 1, 0, ((("edit_1",), 1, 15),), default_attention=True),
    ),
    (Memory("small 1024"),),
    "SD 1.5 256",
    False,
)

CARD = Plan(
    tuple(
        Times(name, 20, 2, ((("inversion", *EDITS, "edit_again", "capture"), 5, 240),))
        for name in ("SD 1.5 512 fp16", "SD 1.5 512 bf16", "SDXL 1024 fp16", "SDXL 1024 bf16")
    ),
    (Memory("SD 1.5 512 fp16"), Memory("SDXL 1024 fp16")),
    "SD 1.5 512 fp16",
    False,
)
"""On a graphics card, beside the plan for the processor."""
