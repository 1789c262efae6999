"""How long something takes and how much memory it needs, on the processor and on a graphics card."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")


def seconds(action: Callable[[], Any], device: str) -> float:
    """Of a card by its own clock. Of one thread of the processor the time that it had: on a quiet machine the time that one waits, on a busy
    one not that of others. Of several threads the time that one waits."""
    if device == "cpu":
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        started = clock()
        action()
        return clock() - started
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    action()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000


def held_mb(device: str) -> float:
    """Memory in use at the moment."""
    gc.collect()
    if device != "cpu":
        return torch.cuda.memory_allocated() / 1e6
    return _status("VmRSS") if STATUS.exists() else _most()


def peak_mb(action: Callable[[], Any], device: str) -> float:
    """The most memory that is in use while it runs; where the system cannot say that, since the process began."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        action()
        return torch.cuda.max_memory_allocated() / 1e6
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    action()
    return _status("VmHWM") if STATUS.exists() else _most()


def forbid_more_than(mb: float) -> None:
    """From here on asking for so much more memory is an error, before the machine comes to its end."""
    if STATUS.exists():
        most = int((_status("VmData") + mb) * 1e6)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _status(key: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def _most() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6
