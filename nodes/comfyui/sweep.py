"""Many edits of one inversion side by side, which ask the network only once for what they have in common."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...ledits.guidance import first_active_step
from ...ledits.inversion import replay_together
from .capture import KEY
from .guider import Look, MaskedGuider
from .samplers import Job, ReplaySampler
from .types import Concept, EditRecord, PictureInversion

_RUNS = f"{KEY}_runs"
"""Model option: the edits that are in the state that is predicted, the one whose prediction is wanted first."""


class SweepGuider(MaskedGuider):
    """Predicts for several edits, whose concepts differ in nothing but strength, window, threshold and smoothing."""

    def __init__(self, model: ModelPatcher, inversion: PictureInversion, edits: list[tuple[Concept, ...]]):
        super().__init__(model, inversion.base, inversion, edits[0])
        self.edits, self.steps = edits, inversion.walk.steps
        self._records = [EditRecord.of(concepts) for concepts in edits]
        self._seen: tuple[Tensor, int, Look] | None = None

    def first_steps(self) -> list[int]:
        """For each edit the step in which it begins."""
        return [first_active_step((concept.edit for concept in concepts), self.steps) for concepts in self.edits]

    def inner_sample(self, *args: Any, **kwargs: Any) -> Tensor:
        try:
            return super().inner_sample(*args, **kwargs)
        finally:
            self._seen = None

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict = {}, seed: int | None = None) -> Tensor:
        run = model_options[_RUNS][0]
        self.concepts, self._record = self.edits[run], self._records[run]
        return super().predict_noise(x, timestep, model_options, seed)

    def _look(self, x: Tensor, timestep: Tensor, step: int, active: list[int], model_options: dict) -> Look:
        if self._seen is None or self._seen[0] is not x or self._seen[1] != step:
            concepts = [self.edits[run] for run in model_options[_RUNS]]
            wanted = sorted({number for own in concepts for number, concept in enumerate(own) if concept.edit.is_active(step)})
            self._seen = x, step, super()._look(x, timestep, step, wanted, model_options)
        return self._seen[2]


class SweepSampler(ReplaySampler):
    """Follows an inversion's path with every edit of a SweepGuider; returns their results one after the other in the batch."""

    def __init__(self, inversion: PictureInversion, count: int):
        super().__init__(inversion.walk)
        self.runs = count

    def replayed(self, job: Job, guider: MaskedGuider | None) -> Tensor:
        assert isinstance(guider, SweepGuider)
        walk, first = self.on_device(job.latent, job.sigmas), guider.first_steps()

        def denoise(x: Tensor, step: int, runs: list[int]) -> list[tuple[Tensor, list[int]]]:
            found: list[tuple[Tensor, list[int]]] = []
            known = self.known_base(guider, walk, step) if step == first[runs[0]] else {}
            for place, run in enumerate(runs):
                predicted = job.denoiser(**known, **{_RUNS: [run, *runs[:place], *runs[place + 1 :]]})(x, step)
                same = next((those for other, those in found if torch.equal(other, predicted)), None)
                if same is None:
                    found.append((predicted, [run]))
                else:
                    same.append(run)
            return found

        return torch.cat(replay_together(walk, denoise, first, keep=job.mask, report=job.report))
