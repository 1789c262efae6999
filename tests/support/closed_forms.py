"""Formulas of the paper that only tests need."""

import math

from ledits.solver import NoiseLevel, half_log_snr


def step_noise_std(level: NoiseLevel, next_level: NoiseLevel) -> float:
    """c: standard deviation of the noise that a step adds, sigma_t sqrt(1 - e^-2h); the paper's noise map is z = delta / c."""
    h = half_log_snr(next_level) - half_log_snr(level)
    return next_level.sigma * math.sqrt(-math.expm1(-2 * h)) if next_level.sigma else 0.0
