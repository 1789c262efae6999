"""Measures one subject in a process of its own and prints a line of JSON: python benchmarks/speed/measure.py times NAME, or memory NAME WHO.

What is still wanted comes as JSON on the standard input; progress goes to the standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from scripts.host import in_comfy

import comfy.ldm.modules.attention

from benchmarks.speed import clock
from benchmarks.speed.jobs import CELLS, TEXTS, Bare, Diffusers, Ours, capture_timed
from benchmarks.speed.plan import Times
from benchmarks.speed.subjects import DEVICE, SEED, SUBJECTS, Subject

MEMORY_LIMIT_MB = 12_000
"""Beside the weights, for a pipeline that may ask for more than there is."""

seconds = partial(clock.seconds, device=DEVICE)


class Row:
    """One line of the table: every round measures ours, the bare calls and diffusers' one after the other."""

    def __init__(self, name: str, ours: Ours, bare: Bare, theirs: Diffusers | None, act: Callable[[], Any], their_act: Callable | None):
        self.name, self._ours, self._bare, self._theirs = name, ours, bare, theirs
        self._act, self._their_act = act, their_act
        self.times: dict[str, list[float]] = {"ours": [], "bare": [], "diffusers": []}
        self.calls: list[int] = []
        self.their_calls: list[int] = []
        self.capture: list[float] = []

    def round(self) -> None:
        self._ours.sizes.clear()
        with capture_timed(seconds) as captured:
            self.times["ours"].append(seconds(self._act))
        self.capture.append(sum(captured))
        self.calls = list(self._ours.sizes)
        # Each size of batch once, for all the calls that have it; where they are many and short, all of them.
        counts = Counter(self.calls)
        short = self.times["ours"][-1] < 5
        self.times["bare"].append(sum(self._bare_seconds(rows, number, number if short else 1) for rows, number in counts.items()))
        if self._theirs is not None and self._their_act is not None:
            self._theirs.sizes.clear()
            self.times["diffusers"].append(seconds(self._their_act))
            self.their_calls = list(self._theirs.sizes)

    def _bare_seconds(self, rows: int, number: int, measured: int) -> float:
        """So many calls with so many rows each, of which some are measured."""
        return seconds(lambda: [self._bare.call(rows) for _ in range(measured)]) * number / measured

    def figures(self) -> dict[str, Any]:
        middle = {f"{who}_s": round(median(times), 4) if times else None for who, times in self.times.items()}
        spread = {who: round((max(times) - min(times)) / median(times), 3) for who, times in self.times.items() if times and median(times)}
        ours, bare = self.times["ours"], self.times["bare"]
        ratios = [one / other for one, other in zip(ours, bare, strict=True) if other]
        return middle | {
            "calls": len(self.calls),
            "rows": sum(self.calls),
            "calls_diffusers": len(self.their_calls) if self.times["diffusers"] else None,
            "rows_diffusers": sum(self.their_calls) if self.times["diffusers"] else None,
            "overhead": round(median(ratios), 4) if ratios else None,
            "overhead_each": [round(ratio, 4) for ratio in ratios],
            "capture_share": round(median(self.capture) / median(ours), 5) if any(self.capture) else None,
            "rounds": len(ours),
            "spread": spread,
        }


def attention() -> str:
    """The function by which ComfyUI computes attention in this process."""
    return comfy.ldm.modules.attention.optimized_attention.__name__


def times(subject: Subject, plan: Times) -> dict[str, Any]:
    ours, bare = Ours(subject, plan.steps, plan.warmup), Bare(subject)
    theirs = None if plan.default_attention else Diffusers(subject, plan.steps, plan.warmup)
    make = partial(Row, ours=ours, bare=bare, theirs=theirs)
    # Models come to their device, and the processor to its speed, before anything counts.
    ours.invert()
    if theirs is not None:
        theirs.invert()
    every = {
        "inversion": lambda name: make(name, act=ours.invert, their_act=theirs.invert),
        **{f"edit_{count}": partial(_edit_row, make, ours, theirs, count) for count in (1, 2, 4, 8)},
        "edit_again": lambda name: make(name, act=lambda: ours.edit(ours.concepts([TEXTS[1]])), their_act=lambda: theirs.edit([TEXTS[1]])),
        "capture": lambda name: make(name, act=ours.probe, their_act=None),
        "mask_extraction": lambda name: make(name, act=partial(in_comfy.run, "LEDITS_ExtractMask", attention=ours.probe()), their_act=None),
        "sweep_9": lambda name: make(
            name,
            act=lambda: ours.sweep(ours.concepts(TEXTS[:1])),
            their_act=lambda: [theirs.edit(TEXTS[:1], threshold, scale) for threshold in CELLS[0] for scale in CELLS[1]],
        ),
    }
    found: dict[str, Any] = {"steps": plan.steps, "warmup": plan.warmup, "attention": attention(), "rows": {}}
    for names, rounds, budget in plan.groups:
        rows, started = [every[name](name) for name in names], time.monotonic()
        for number in range(rounds):
            if number and (time.monotonic() - started) * (number + 1) / number > budget:
                break
            for row in rows:
                row.round()
                shown = ", ".join(f"{who} {times[-1]:.3f} s" for who, times in row.times.items() if times)
                say(f"{row.name}: round {number + 1} of {rounds}: {shown}")
        found["rows"] |= {row.name: row.figures() for row in rows}
    if theirs is not None:
        theirs.close()
    if plan.lengths:
        found["by_steps"] = {str(steps): _job(subject, bare, steps) for steps in plan.lengths}
    return found


def _edit_row(make: Callable, ours: Ours, theirs: Diffusers | None, count: int, name: str) -> Row:
    concepts = ours.concepts(TEXTS[:count])
    return make(name, act=lambda: ours.edit(concepts), their_act=lambda: theirs.edit(TEXTS[:count]))


def _job(subject: Subject, bare: Bare, steps: int) -> dict[str, Any]:
    """Inversion and one edit in so many steps."""
    ours, theirs = Ours(subject, steps, 2), Diffusers(subject, steps, 2)
    concepts = ours.concepts(TEXTS[:1])

    row = Row("job", ours, bare, theirs, lambda: (ours.invert(), ours.edit(concepts)), lambda: (theirs.invert(), theirs.edit(TEXTS[:1])))
    for _ in range(3):
        row.round()
    theirs.close()
    say(f"{steps} steps: {row.figures()}")
    return row.figures()


def memory(subject: Subject, who: str) -> dict[str, Any]:
    """An inversion of one step, and an edit of one step with one concept: two rows at once. Of a KSampler one step with two prompts."""
    found: dict[str, Any] = {}
    actions: dict[str, Callable[[], Any]]
    if who == "ours":
        ours = Ours(subject, 1, 0)
        concepts = ours.concepts(TEXTS[:1])
        actions = {"inversion": ours.invert, "edit_1": lambda: ours.edit(concepts)}
    elif who == "diffusers":
        theirs = Diffusers(subject, 1, 0)
        clock.forbid_more_than(MEMORY_LIMIT_MB)
        actions = {"inversion": theirs.invert, "edit_1": lambda: theirs.edit(TEXTS[:1])}
    else:
        import torch

        import nodes

        positive, negative = subject.encode(TEXTS[0]), subject.encode("")

        @torch.inference_mode()
        def sample() -> None:
            nodes.common_ksampler(subject.model, SEED, 1, 4.0, "euler", "normal", positive, negative, subject.latent)

        actions = {"edit_1": sample}
    start = clock.held_mb(DEVICE)
    found["start_mb"] = round(start)
    for name, action in actions.items():
        took: list[float] = []
        try:
            peak = clock.peak_mb(partial(_timed, action, took), DEVICE)
        except (RuntimeError, MemoryError) as error:
            found["failed"] = f"{name}: {str(error).splitlines()[0][:200]}"
            found["limit_mb"] = MEMORY_LIMIT_MB
            break
        found |= {f"{name}_s": round(took[0], 3), f"{name}_mb": round(peak - start, 1)}
        say(f"{who}, {name}: {took[0]:.1f} s, at most {peak - start:.0f} MB above the {start:.0f} MB at the start")
    return found


def _timed(action: Callable[[], Any], took: list[float]) -> None:
    took.append(seconds(action))


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def main() -> None:
    kind, name, *rest = sys.argv[1:]
    subject = SUBJECTS[name]()
    found = times(subject, Times.read(json.load(sys.stdin))) if kind == "times" else memory(subject, *rest)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
