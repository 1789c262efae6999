"""Finds settings on edits of their own: for the UNet one for each kind of edit, for the other subjects one for all of them.

    python benchmarks/quality/tune.py [--subject SUBJECT] [--kinds colour shape ...] [--each 12] [--rounds 2] [--fields skip scale ...]
        [--fresh] [--only-img2img]

It begins with the setting that is written down or, with --fresh, with the defaults. Then it varies one thing after the other and keeps
what is best for the pack's own nodes, with masks that they find and with true ones, or for FlowEdit what is its own. Candidates are
compared on a few edits first and the better ones on all. img2img gets the lowest strength with the success of ours. The result is
written to settings.json, for the other subjects to settings-transformer.json and so on; what was tried is kept under output/quality.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.quality.edits import TUNING, Edit, kinds_of, make_edits
from benchmarks.quality.methods import FLOWEDIT, IMG2IMG, METHODS, TRUE_MASK
from benchmarks.quality.report import Score, score
from benchmarks.quality.settings import GROUPS, MASK_MODES, STARTS, Setting, load, save
from benchmarks.quality.subjects import SUBJECTS, Subject
from benchmarks.quality.work import Job, Workers

CHOICES: dict[str, tuple[Any, ...]] = {
    "steps": (20, 40),
    "skip": (0.0, 0.05, 0.1),
    "scale": (3.0, 4.0, 5.0, 7.0, 9.0, 12.0, 15.0),
    "remove_scale": (0.0, 3.0, 6.0, 9.0, 12.0),
    "cooldown": (0, 8, 12, 16),
    "area": (0.75, 1.0, 1.25, 1.5),
    "mask_mode": MASK_MODES,
    "look": (0.0, 0.2, 0.35, 0.5),
    "resolution": (0, 16),
    "named_words": (True, False),
    "warmup": (0, 1, 2),
    "average_steps": (False, True),
    "flowedit_skip": (0.05, 0.1, 0.17, 0.25),
    "source_cfg": (1.0, 2.0, 3.5),
    "target_cfg": (3.5, 6.0, 9.0, 13.5),
}
FLOWEDIT_FIELDS = ("flowedit_skip", "source_cfg", "target_cfg")
FIELDS: dict[Subject, tuple[str, ...]] = {
    "unet": tuple(field for field in CHOICES if field not in FLOWEDIT_FIELDS),
    **dict.fromkeys(("transformer", "scenes"), ("skip", "scale", "remove_scale", "warmup", "cooldown", *FLOWEDIT_FIELDS)),
}
"""What is varied, in this order."""
WITHOUT_EFFECT = {"remove": ("scale",), "add": ("remove_scale",)}
STRENGTHS = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
WANTED_PSNR = 25.0
"""A decibel above what is to be reached at least."""
FIRST_LOOK, GOING_ON = 4, 3
"""Edits of each kind in the first comparison, and how many candidates go on to the second."""


@dataclass(frozen=True)
class Figures:
    """What a setting reaches on the tuning edits, means over them."""

    success: float
    degree: float
    ceiling: float
    kept: float
    psnr: float

    @classmethod
    def of(cls, ours: list[Score], true_mask: list[Score]) -> Figures:
        return cls(
            success=_mean(one.verdict.success for one in ours),
            degree=_mean(one.verdict.degree for one in ours),
            ceiling=_mean((one.verdict.success + one.verdict.degree) / 2 for one in true_mask),
            kept=_mean(one.verdict.others_kept is not False for one in ours),
            psnr=_mean(one.psnr for one in ours),
        )

    @property
    def value(self) -> float:
        """What is maximised: success before all else, with the background kept."""
        lost = max(0.0, WANTED_PSNR - self.psnr)
        return self.success + 0.3 * self.degree + 0.4 * self.ceiling + 0.3 * self.kept + 0.005 * self.psnr - 0.1 * lost

    def __str__(self) -> str:
        return (
            f"{self.value:.3f}: success {self.success:.2f}, degree {self.degree:.2f}, true mask {self.ceiling:.2f}, "
            f"others kept {self.kept:.2f}, {self.psnr:.1f} dB"
        )


class Tuner:
    """Looks for the setting of some kinds of edit."""

    def __init__(self, workers: Workers, subject: Subject, name: str, kinds: Sequence[str], each: int, fields: Sequence[str]):
        self._workers, self._name = workers, name
        self._fields = [field for field in fields if field not in WITHOUT_EFFECT.get(name, ())]
        self._edits = [edit for edit in make_edits(TUNING, each, subject) if edit.kind in kinds]
        self._first_look = FIRST_LOOK * len(kinds)

    def improve(self, setting: Setting) -> Setting:
        """One round: every choice of each field in turn."""
        for field in self._fields:
            candidates = [replace(setting, **{field: value}) for value in CHOICES[field]]
            setting = self._best([setting, *(one for one in candidates if one != setting and _is_sound(one))], field)
        return setting

    def img2img_strength(self, setting: Setting) -> Setting:
        """The lowest strength that succeeds as often as ours, else the one that comes closest."""
        wanted = self._figures([setting], self._edits, "strength")[0].success
        candidates = [replace(setting, strength=strength) for strength in STRENGTHS]
        found = self._scores(candidates, self._edits, (IMG2IMG,))
        success = [_mean(one.verdict.success for one in scores) for (scores,) in found]
        for candidate, share in zip(candidates, success, strict=True):
            print(f"{self._name}  img2img {candidate.strength}: success {share:.2f}, ours {wanted:.2f}", flush=True)
        enough = [candidate for candidate, share in zip(candidates, success, strict=True) if share >= wanted]
        degree = [_mean(one.verdict.degree for one in scores) for (scores,) in found]
        return enough[0] if enough else candidates[max(range(len(candidates)), key=lambda place: (success[place], degree[place]))]

    def _best(self, candidates: list[Setting], field: str) -> Setting:
        first = self._figures(candidates, self._edits[: self._first_look], field)
        order = sorted(range(len(candidates)), key=lambda place: -first[place].value)
        finalists = [candidates[place] for place in order[:GOING_ON]]
        if candidates[0] not in finalists:
            finalists.append(candidates[0])
        figures = self._figures(finalists, self._edits, field)
        for candidate, one in zip(finalists, figures, strict=True):
            print(f"{self._name}  {field} {getattr(candidate, field)}: {one}", flush=True)
        return finalists[max(range(len(finalists)), key=lambda place: figures[place].value)]

    def _figures(self, candidates: list[Setting], edits: list[Edit], field: str) -> list[Figures]:
        """Of the method that the field belongs to: FlowEdit has no masks, and so is its own ceiling."""
        ours = METHODS[candidates[0].subject][0]
        methods = (FLOWEDIT, FLOWEDIT) if field in FLOWEDIT_FIELDS else (ours, TRUE_MASK)
        return [Figures.of(*scores) for scores in self._scores(candidates, edits, methods)]

    def _scores(self, candidates: list[Setting], edits: list[Edit], methods: tuple[str, ...]) -> list[list[list[Score]]]:
        """By candidate and method, one score for each edit."""
        jobs = [[Job(edit, candidate, tuple(dict.fromkeys(methods)), full=False) for edit in edits] for candidate in candidates]
        self._workers.finish([job for of_one in jobs for job in of_one])
        return [[[score(job, method) for job in of_one] for method in methods] for of_one in jobs]


def _is_sound(setting: Setting) -> bool:
    return setting.cooldown == 0 or setting.cooldown > setting.warmup


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=SUBJECTS, default=SUBJECTS[0])
    parser.add_argument("--kinds", nargs="+", help="of the subject's; all of them by default")
    parser.add_argument("--each", type=int, default=12, help="edits of each kind")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fields", nargs="+", choices=CHOICES, help="what to vary, in this order")
    parser.add_argument("--fresh", action="store_true", help="forget what is written down")
    parser.add_argument("--only-img2img", action="store_true", help="leave the other settings as they are")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    subject = arguments.subject
    settings = load(subject)
    with Workers() as workers:
        for name, kinds in GROUPS[subject].items():
            if not set(kinds) & set(arguments.kinds or kinds_of(subject)):
                continue
            tuner = Tuner(workers, subject, name, kinds, arguments.each, arguments.fields or FIELDS[subject])
            setting = STARTS[subject] if arguments.fresh else settings[kinds[0]]
            for _ in range(0 if arguments.only_img2img else arguments.rounds):
                before = setting
                setting = tuner.improve(setting)
                settings |= dict.fromkeys(kinds, setting)
                save(settings, subject)
                if setting == before:
                    break
            setting = tuner.img2img_strength(setting)
            settings |= dict.fromkeys(kinds, setting)
            save(settings, subject)
            print(f"{name}: {asdict(setting)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; what was found so far is written down", file=sys.stderr)
        raise SystemExit(130) from None
