"""One step of a family of solvers, for variance-preserving and for flow models.

LEDITS++ (section 3.1) uses one of them: SDE-DPM-Solver++ (2M, midpoint), of Lu et al., arXiv 2211.01095, section 4.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from .schedule import FEW_STEPS


@dataclass(frozen=True)
class NoiseLevel:
    """x = alpha * x0 + sigma * noise."""

    alpha: float
    sigma: float


@dataclass(frozen=True)
class NoiseKind:
    """How a model mixes image and noise at the level that ComfyUI calls `sigma`.

    A flow model: x = (1 - sigma) x0 + sigma s noise, with a noise scale s that is 1 for most. Others: x = x0 + sigma noise, as
    ComfyUI divides the latents of eps- and v-models by alpha, so that their alpha is 1 and their sigma is kappa. It gives Cosmos,
    which is trained as a flow, such latents too.
    """

    flow: bool = False
    scale: float = 1.0  # s
    sigma_data: float = 1.0  # the standard deviation that an eps- or v-model expects of images
    trained_as_flow: bool = False  # Cosmos

    def __str__(self) -> str:
        kind = "flow prediction" if self.flow else "eps- or v-prediction"
        return kind if self.scale == 1 else f"{kind} of noise scaled by {self.scale:g}"

    def level(self, sigma: float) -> NoiseLevel:
        return NoiseLevel(1.0 - sigma, self.scale * sigma) if self.flow else NoiseLevel(1.0, sigma)

    def levels(self, sigmas: Tensor) -> list[NoiseLevel]:
        return [self.level(sigma) for sigma in sigmas.double().tolist()]

    def input_scale(self, sigma: float) -> float:
        """What ComfyUI multiplies latents of this sigma by before the network sees them."""
        if self.flow:
            return 1.0
        return 1 / (1 + sigma) if self.trained_as_flow else 1 / math.hypot(sigma, self.sigma_data)


def half_log_snr(level: NoiseLevel) -> float:
    """lambda = ln(alpha / sigma); infinite at either end of the range."""
    if level.sigma == 0:
        return math.inf
    return -math.inf if level.alpha == 0 else math.log(level.alpha / level.sigma)


@dataclass(frozen=True)
class Solver:
    """A member of the family. Replaying an inversion is exact with each of them, and wants the one that made it.

    | published as | eta | order | path_shift |
    | --- | --- | --- | --- |
    | LEDITS++ | 1 | 2 | 0 |
    | edit-friendly DDPM inversion, arXiv 2304.06140 | 1 | 1 | 0 |
    | FlowEdit, arXiv 2412.08629; FlowAlign, arXiv 2505.23145 | 0 | 1 | 0 |
    | InfEdit (DDCM), arXiv 2312.04965 | infinite | 1 | 0 |
    | TurboEdit, arXiv 2408.00735 | 1 | 1 | 1 |
    """

    eta: float = 1.0  # noise that a step draws anew: 0 none (an ODE), 1 as the SDE does, infinite all of it (consistency models)
    order: int = 2
    path_shift: int = 0  # by how many levels the states are less noisy than the network is told

    def path(self, kind: NoiseKind, sigmas: Tensor) -> list[NoiseLevel]:
        """How the states that an inversion passes through are noised, [N + 1] levels for [N + 1] sigmas.

        What the network sees of a state has the noise of its own level, at the scale of the level that the network is told.
        """
        told = sigmas.double().tolist()
        states = [told[min(i + self.path_shift, len(told) - 1)] for i in range(len(told) - 1)] + told[-1:]
        ratios = [kind.input_scale(state) / kind.input_scale(sigma) for state, sigma in zip(states, told, strict=True)]
        levels = [kind.level(state) for state in states]
        return [NoiseLevel(level.alpha * ratio, level.sigma * ratio) for level, ratio in zip(levels, ratios, strict=True)]


LEDITS_SOLVER = Solver()

# The members that a user can choose, by name; the path's shift goes with each.
SOLVERS = {
    "LEDITS++": LEDITS_SOLVER,
    "first order": Solver(order=1),
    "ODE": Solver(eta=0.0, order=1),
    "LCM": Solver(eta=math.inf, order=1),
}
AUTOMATIC = "automatic"


def choose_solver(name: str, steps: int) -> Solver:
    """The solver of this name; *automatic* is LEDITS++'s, in few steps, where the prediction before is too far away, at first order."""
    if name == AUTOMATIC:
        name = "first order" if steps <= FEW_STEPS else "LEDITS++"
    return SOLVERS[name]


def solver_mean(
    x: Tensor,
    level: NoiseLevel,
    next_level: NoiseLevel,
    denoised: Tensor,
    previous: tuple[NoiseLevel, Tensor] | None,
    solver: Solver = LEDITS_SOLVER,
) -> Tensor:
    """mu: where the step from `level` to `next_level` lands before any noise is added.

    mu = (sigma_t / sigma_s) e^(-eta h) x + alpha_t (1 - e^(-(1 + eta) h)) [D + (h / 2 h0) (D - D_previous)].
    First order (no correction term) without a previous step, when `next_level` is noise-free and after a pure-noise level.

    Args:
        x, denoised: state at `level` and D, the prediction of the clean latent there; float32, any shape.
        previous: the level before this one and its prediction; None at the first step.
    """
    h = half_log_snr(next_level) - half_log_snr(level)
    decay = math.exp(-solver.eta * h) if solver.eta else 1.0  # also where h is infinite
    coef_x = next_level.sigma / level.sigma * decay
    coef_x0 = next_level.alpha * (1 - math.exp(-h) * decay)
    if previous is None or solver.order == 1 or math.isinf(h):
        return coef_x * x + coef_x0 * denoised
    previous_level, previous_denoised = previous
    h0 = half_log_snr(level) - half_log_snr(previous_level)  # infinite after pure noise
    return coef_x * x + coef_x0 * (denoised + h / (2 * h0) * (denoised - previous_denoised))
