"""What PyTorch asked the allocator for, as its own profiler saw it: tensors, and what an operation needs inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Allocations:
    """Bytes on the processor.

    Attributes:
        largest: of one piece.
        peak: in use at once, above what was there before.
        kept: still in use at the end.
    """

    largest: int
    peak: int
    kept: int

    @classmethod
    def during(cls, action: Callable[[], Any]) -> Allocations:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            result = action()  # holds on to the result until the end
        events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
        live, peak, largest = 0, 0, 0
        for event in sorted(events, key=lambda event: event.start_ns()):
            live += event.nbytes()
            peak, largest = max(peak, live), max(largest, event.nbytes())
        del result
        return cls(largest, peak, live)
