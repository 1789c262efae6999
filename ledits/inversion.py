"""Inversion without optimisation, and its exact replay (LEDITS++, section 3.1, "perfect inversion")."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .solver import NoiseKind, NoiseLevel, solver_mean

Denoiser = Callable[[Tensor, int], Tensor]  # the denoised prediction at a state and a step; same shape, float32
StepCallback = Callable[[int, Tensor, Tensor], None]  # called after each step with its number, the prediction and the state


@dataclass(frozen=True)
class Inversion:
    """A trajectory from noise to one batch of images that the same denoiser follows exactly; float32.

    The noise maps are delta_i = x_{i+1} - mu_i: what the solver's mean lacks to land on the next state. In the paper's equation 3
    this is delta_i = c_i z_i, with c_i the standard deviation of the step's noise and z_i its noise map (`zs` in diffusers).
    delta stays finite at sigma 0, where z does not exist.
    """

    x0: Tensor  # [B, C, H, W] the clean latents
    sigmas: Tensor  # [N + 1] noise levels, falling
    noise: NoiseKind
    x_T: Tensor  # [B, C, H, W] the state at the first level
    denoised: Tensor  # [N, B, C, H, W] the base prediction D at every level
    noise_maps: Tensor  # [N, B, C, H, W]

    @property
    def steps(self) -> int:
        return len(self.noise_maps)


def add_noise(x0: Tensor, levels: list[NoiseLevel], seed: int) -> Tensor:
    """x_i = alpha_i x0 + sigma_i eps_i, each level with noise of its own; [levels, B, C, H, W].

    The noise is drawn on the CPU in float32, from the lowest level to the highest, once for all images of the batch:
    an image gets the same noise on every device, alone or among others.
    """
    generator = torch.Generator().manual_seed(seed)
    states = x0.new_empty((len(levels), *x0.shape))
    for i in reversed(range(len(levels))):
        noise = torch.randn((1, *x0.shape[1:]), generator=generator).to(x0.device)
        states[i] = levels[i].alpha * x0 + levels[i].sigma * noise
    return states


def invert(
    x0: Tensor, sigmas: Tensor, denoise: Denoiser, *, noise: NoiseKind, seed: int, callback: StepCallback | None = None
) -> Inversion:
    """Finds the noise maps with which the solver passes through independently noised states of x0, [B, C, H, W] float32.

    One call of `denoise` a step. The next step starts from mu + delta as rounded, which is what a replay will see. The trajectory
    ends at the image without noise, alpha x0, whatever the last of the sigmas, [N + 1], is.
    """
    levels = noise.levels(sigmas)
    states = [*add_noise(x0, levels[:-1], seed), levels[-1].alpha * x0]
    x_T = x = states[0].clone()
    denoised, noise_maps = x0.new_empty((len(levels) - 1, *x0.shape)), x0.new_empty((len(levels) - 1, *x0.shape))
    for i in range(len(levels) - 1):
        denoised[i] = denoise(x, i)
        mean = solver_mean(x, levels[i], levels[i + 1], denoised[i], _previous(levels, denoised, i))
        noise_maps[i] = states[i + 1] - mean
        x = mean + noise_maps[i]
        if callback is not None:
            callback(i, denoised[i], x)
    return Inversion(x0, sigmas.to("cpu", copy=True), noise, x_T, denoised, noise_maps)


def trajectory(inversion: Inversion) -> Iterator[Tensor]:
    """The inversion's own states from the first level to the last, without a network."""
    levels = inversion.noise.levels(inversion.sigmas)
    x = inversion.x_T
    yield x
    for i in range(inversion.steps):
        previous = _previous(levels, inversion.denoised, i)
        x = solver_mean(x, levels[i], levels[i + 1], inversion.denoised[i], previous) + inversion.noise_maps[i]
        yield x


def replay(
    inversion: Inversion,
    denoise: Denoiser,
    *,
    first: int = 0,
    denoise_mask: Callable[[int], Tensor] | None = None,
    callback: StepCallback | None = None,
) -> Tensor:
    """Follows the trajectory with another denoiser D' to its last state: x_{i+1} = mu_i(D') + delta_i.

    Args:
        first: steps before this one keep to the inversion and call nothing.
        denoise_mask: for each step [B, 1, H, W] or broadcastable, 1 where the state may leave the trajectory, 0 where it may not.
    """
    levels = inversion.noise.levels(inversion.sigmas)
    own_states = trajectory(inversion)
    x = next(own_states)
    previous: tuple[NoiseLevel, Tensor] | None = None
    for i, own in enumerate(own_states):
        if i < first:
            denoised, x = inversion.denoised[i], own
        else:
            denoised = denoise(x, i)
            x = solver_mean(x, levels[i], levels[i + 1], denoised, previous) + inversion.noise_maps[i]
            if denoise_mask is not None:
                x = torch.lerp(own, x, denoise_mask(min(i + 1, inversion.steps - 1)))
        previous = levels[i], denoised
        if callback is not None:
            callback(i, denoised, x)
    return x


def _previous(levels: list[NoiseLevel], denoised: Tensor, i: int) -> tuple[NoiseLevel, Tensor] | None:
    return (levels[i - 1], denoised[i - 1]) if i else None
