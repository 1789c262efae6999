"""One step of SDE-DPM-Solver++ (2M, midpoint, eta = 1), for variance-preserving and for flow models.

Lu et al., "DPM-Solver++", arXiv 2211.01095, section 4; used by LEDITS++ in section 3.1.
"""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NoiseLevel:
    """x = alpha * x0 + sigma * noise."""

    alpha: float
    sigma: float


@dataclass(frozen=True)
class NoiseKind:
    """How a model mixes image and noise at the level that ComfyUI calls `sigma`.

    A flow model: x = (1 - sigma) x0 + sigma noise. Others: x = x0 + sigma noise, as ComfyUI divides the latents of eps- and
    v-models by alpha, so that their alpha is 1 and their sigma is kappa.
    """

    flow: bool = False

    def level(self, sigma: float) -> NoiseLevel:
        return NoiseLevel(1.0 - sigma if self.flow else 1.0, sigma)

    def levels(self, sigmas: Tensor) -> list[NoiseLevel]:
        return [self.level(sigma) for sigma in sigmas.double().tolist()]


def half_log_snr(level: NoiseLevel) -> float:
    """lambda = ln(alpha / sigma); infinite at either end of the range."""
    if level.sigma == 0:
        return math.inf
    return -math.inf if level.alpha == 0 else math.log(level.alpha / level.sigma)


def solver_mean(
    x: Tensor, level: NoiseLevel, next_level: NoiseLevel, denoised: Tensor, previous: tuple[NoiseLevel, Tensor] | None
) -> Tensor:
    """mu: where the step from `level` to `next_level` lands before any noise is added.

    mu = (sigma_t / sigma_s) e^-h x + alpha_t (1 - e^-2h) [D + (h / 2 h0) (D - D_previous)].
    First order (no correction term) without a previous step, when `next_level` is noise-free and after a pure-noise level.

    Args:
        x, denoised: state at `level` and D, the prediction of the clean latent there; float32, any shape.
        previous: the level before this one and its prediction; None at the first step.
    """
    h = half_log_snr(next_level) - half_log_snr(level)
    decay = math.exp(-h)
    coef_x = next_level.sigma / level.sigma * decay
    coef_x0 = next_level.alpha * (1 - decay * decay)
    if previous is None or math.isinf(h):
        return coef_x * x + coef_x0 * denoised
    previous_level, previous_denoised = previous
    h0 = half_log_snr(level) - half_log_snr(previous_level)  # infinite after pure noise
    return coef_x * x + coef_x0 * (denoised + h / (2 * h0) * (denoised - previous_denoised))
