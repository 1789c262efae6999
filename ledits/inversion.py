"""Inversion without optimisation, and its exact replay (LEDITS++, section 3.1, "perfect inversion")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .solver import NoiseLevel, solver_mean

Denoiser = Callable[[Tensor, int], Tensor]
"""Takes a state and the step's number, gives the denoised prediction. Same shape, float32."""

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
    levels = noise_levels(inversion.sigmas, inversion.flow)
    earlier = None
    for i, own in enumerate(path(inversion)):
        if i <= first:
            x = own
        elif keep is not None:
            x = torch.lerp(own, x, keep(min(i, inversion.steps - 1)))
        if i == inversion.steps:
            return x
        denoised = inversion.denoised[i] if i < first else denoise(x, i)
        if i >= first:
            mean = solver_mean(x, levels[i], levels[i + 1], denoised, earlier)
            x = mean + inversion.corrections[i]
        if report is not None:
            report(i, denoised, x)
        earlier = (levels[i], denoised)
    raise AssertionError("a path has one state more than steps")


def _earlier(levels: list[NoiseLevel], denoised: Tensor, i: int) -> tuple[NoiseLevel, Tensor] | None:
    return (levels[i - 1], denoised[i - 1]) if i else None
