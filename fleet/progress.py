"""How far the run is, on the terminal."""

from __future__ import annotations

import sys
import time

EVERY_LINE = 60
"""Seconds between two lines where the terminal is a file."""


def duration(seconds: float) -> str:
    minutes = int(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {int(seconds) % 60:02} s"


class Progress:
    """One line that is written over, or a line a minute in a file."""

    def __init__(self, total: int, done: int):
        self.total, self.done, self.before = total, done, done
        self.started, self.shown = time.monotonic(), 0.0
        self.over = sys.stderr.isatty()

    def step(self, done: int, failed: int) -> None:
        self.done, now = done, time.monotonic()
        if now - self.shown >= (0.5 if self.over else EVERY_LINE) or done == self.total:
            self.shown = now
            print(
                f"\r{self.text(failed)}\x1b[K" if self.over else self.text(failed),
                end="" if self.over else "\n",
                file=sys.stderr,
                flush=True,
            )

    def text(self, failed: int) -> str:
        rate = (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)
        left = f", {duration((self.total - self.done) / rate)} left" if rate else ""
        return f"{self.done:,} of {self.total:,} photos, {3600 * rate:,.0f} an hour{left}, {failed:,} failed"
