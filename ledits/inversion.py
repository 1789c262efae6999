"""Inversion without optimisation, and its exact replay (LEDITS++, section 3.1, "perfect inversion")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .solver import NoiseLevel, solver_mean

Denoiser = Callable[[Tensor, int], Tensor]
"""Takes a state and the step's number, gives the denoised prediction. Same shape, float32."""

JointDenoiser = Callable[[Tensor, int, list[int]], list[tuple[Tensor, list[int]]]]
"""Takes a state, the step's number and the runs that are in this state; gives their predictions, equal ones once."""

StepReport = Callable[[int, Tensor, Tensor], None]
"""Called after each step with its number, the prediction and the state."""


@dataclass(frozen=True)
class Inversion:
    """A walk from noise to one batch of pictures that the same denoiser follows exactly.

    Attributes:
        original: [B, C, H, W] the clean latents, float32.
        sigmas: [N + 1] noise levels, falling.
        flow: whether the levels are those of a flow model.
        start: [B, C, H, W] the state at the first level.
        denoised: [N, B, C, H, W] the base prediction D at every level.
        corrections: [N, B, C, H, W] delta: what the solver's mean lacks to land on the next state.
    """

    original: Tensor
    sigmas: Tensor
    flow: bool
    start: Tensor
    denoised: Tensor
    corrections: Tensor

    @property
    def steps(self) -> int:
        return len(self.corrections)


def noise_levels(sigmas: Tensor, flow: bool) -> list[NoiseLevel]:
    return [NoiseLevel.of(sigma, flow) for sigma in sigmas.double().tolist()]


def noised_path(x0: Tensor, levels: list[NoiseLevel], seed: int) -> Tensor:
    """x_i = alpha_i x0 + sigma_i eps_i, each level noised on its own; [levels, B, C, H, W].

    The noise is drawn on the CPU in float32, from the lowest level to the highest, once for all pictures of the batch:
    a picture gets the same noise on every device, alone or among others.
    """
    generator = torch.Generator().manual_seed(seed)
    path = x0.new_empty((len(levels), *x0.shape))
    for i in reversed(range(len(levels))):
        noise = torch.randn((1, *x0.shape[1:]), generator=generator).to(x0.device)
        path[i] = levels[i].alpha * x0 + levels[i].sigma * noise
    return path


def invert(x0: Tensor, sigmas: Tensor, denoise: Denoiser, *, flow: bool, seed: int, report: StepReport | None = None) -> Inversion:
    """Finds the corrections that make the solver pass through independently noised states of x0.

    One call of `denoise` a step. After each step the walk goes on from mu + delta as rounded, which is what a replay will see.

    Args:
        x0: [B, C, H, W] clean latents, float32.
        sigmas: [N + 1] falling noise levels. The walk ends at the picture without noise, alpha x0, whatever the last one is.
    """
    levels = noise_levels(sigmas, flow)
    path = [*noised_path(x0, levels[:-1], seed), levels[-1].alpha * x0]
    start = x = path[0].clone()
    denoised, corrections = x0.new_empty((len(levels) - 1, *x0.shape)), x0.new_empty((len(levels) - 1, *x0.shape))
    for i in range(len(levels) - 1):
        denoised[i] = denoise(x, i)
        mean = solver_mean(x, levels[i], levels[i + 1], denoised[i], _earlier(levels, denoised, i))
        corrections[i] = path[i + 1] - mean
        x = mean + corrections[i]
        if report is not None:
            report(i, denoised[i], x)
    return Inversion(x0, sigmas.cpu(), flow, start, denoised, corrections)


def path(inversion: Inversion) -> Iterator[Tensor]:
    """The inversion's own states from the first level to the last, without calling a network."""
    levels = noise_levels(inversion.sigmas, inversion.flow)
    x = inversion.start
    yield x
    for i in range(inversion.steps):
        x = (
            solver_mean(x, levels[i], levels[i + 1], inversion.denoised[i], _earlier(levels, inversion.denoised, i))
            + inversion.corrections[i]
        )
        yield x


def replay(
    inversion: Inversion,
    denoise: Denoiser,
    *,
    first: int = 0,
    keep: Callable[[int], Tensor] | None = None,
    report: StepReport | None = None,
) -> Tensor:
    """Walks the path again with another denoiser: x_{i+1} = mu_i(D') + delta_i. With the inversion's own D it ends where it did.

    Args:
        denoise: the guided prediction D'.
        first: steps before this one follow the inversion and call nothing.
        keep: gives for each step [B, 1, H, W] or broadcastable, 1 where the walk may leave the inversion's path, 0 where it may not.

    Returns:
        [B, C, H, W] the last state.
    """
    return replay_together(inversion, lambda x, step, runs: [(denoise(x, step), runs)], [first], keep=keep, report=report)[0]


def replay_together(
    inversion: Inversion,
    denoise: JointDenoiser,
    first: Sequence[int],
    *,
    keep: Callable[[int], Tensor] | None = None,
    report: StepReport | None = None,
) -> list[Tensor]:
    """Several replays side by side, which share what they have in common: runs in the same state are predicted together.

    Args:
        denoise: the guided predictions, each with the runs that it is for.
        first: for each run, the step before which it follows the inversion.
        keep: as in `replay`.
        report: called at each step for each run, counted through: step 0 of every run, step 1 of every run, and so on.

    Returns:
        The last state of each run.
    """
    levels = noise_levels(inversion.sigmas, inversion.flow)
    strands: list[_Strand] = []
    for i, own in enumerate(path(inversion)):
        if keep is not None:
            strands = [replace(strand, x=torch.lerp(own, strand.x, keep(min(i, inversion.steps - 1)))) for strand in strands]
        if i == inversion.steps:
            break
        beginning = [run for run, start in enumerate(first) if start == i]
        if beginning:
            strands.append(_Strand(own, beginning, _earlier(levels, inversion.denoised, i)))
        shown = [(inversion.denoised[i], own)] * len(first)
        following = []
        for strand in strands:
            for denoised, runs in denoise(strand.x, i, strand.runs):
                mean = solver_mean(strand.x, levels[i], levels[i + 1], denoised, strand.earlier)
                following.append(_Strand(mean + inversion.corrections[i], runs, (levels[i], denoised)))
                for run in runs:
                    shown[run] = denoised, following[-1].x
        strands = following
        if report is not None:
            for run, (denoised, x) in enumerate(shown):
                report(i * len(first) + run, denoised, x)
    ends = {run: strand.x for strand in strands for run in strand.runs}
    return [ends.get(run, own) for run in range(len(first))]


@dataclass(frozen=True)
class _Strand:
    """Replays that are in the same state, and what the solver remembers of the step before."""

    x: Tensor
    runs: list[int]
    earlier: tuple[NoiseLevel, Tensor] | None


def _earlier(levels: list[NoiseLevel], denoised: Tensor, i: int) -> tuple[NoiseLevel, Tensor] | None:
    return (levels[i - 1], denoised[i - 1]) if i else None
