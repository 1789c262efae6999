"""One step of SDE-DPM-Solver++ (2M, midpoint, eta = 1), for variance-preserving and for flow models.

Lu et al., "DPM-Solver++", arXiv 2211.01095, section 4; used by LEDITS++ in section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NoiseLevel:
    """x = alpha * x0 + sigma * noise.

    ComfyUI divides the latents of eps- and v-models by alpha, so their alpha is 1 and their sigma is kappa; see `of`.
    """

    alpha: float
    sigma: float

    @classmethod
    def of(cls, sigma: float, flow: bool) -> NoiseLevel:
        """The level that ComfyUI calls `sigma`: alpha is 1 - sigma for flow models, else 1."""
        return cls(1.0 - sigma if flow else 1.0, sigma)


def half_log_snr(level: NoiseLevel) -> float:
    """lambda = ln(alpha / sigma); infinite at either end of the range."""
    if level.sigma == 0:
        return math.inf
    return -math.inf if level.alpha == 0 else math.log(level.alpha / level.sigma)


def solver_mean(x: Tensor, level: NoiseLevel, following: NoiseLevel, denoised: Tensor, earlier: tuple[NoiseLevel, Tensor] | None) -> Tensor:
    """mu: where the step from `level` to `following` lands before any noise is added.

    mu = (sigma_t / sigma_s) e^-h x + alpha_t (1 - e^-2h) [D + (h / 2 h0) (D - D_earlier)].
    First order (no correction term) without an earlier step, when `following` is noise-free and after a pure-noise level.

    Args:
        x: state at `level`, float32, any shape.
        denoised: D, the prediction of the clean latent at x.
        earlier: the level before this one and its prediction; None at the first step.
    """
    h = half_log_snr(following) - half_log_snr(level)
    decay = math.exp(-h)
    keep = following.sigma / level.sigma * decay
    pull = following.alpha * (1 - decay * decay)
    if earlier is None or math.isinf(h):
        return keep * x + pull * denoised
    h0 = half_log_snr(level) - half_log_snr(earlier[0])
    if math.isinf(h0):
        return keep * x + pull * denoised
    return keep * x + pull * (denoised + h / (2 * h0) * (denoised - earlier[1]))


def step_noise(level: NoiseLevel, following: NoiseLevel) -> float:
    """c: standard deviation of the noise that the step adds, sigma_t sqrt(1 - e^-2h)."""
    return following.sigma * math.sqrt(-math.expm1(-2 * (half_log_snr(following) - half_log_snr(level)))) if following.sigma else 0.0
