"""The official noise schedule: which of the model's own noise levels the steps visit, and what means the same on a flow model."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor

FEW_STEPS = 8  # in so many steps, or fewer, each one counts


def timesteps(steps: int, skip: float, table_size: int = 1000) -> list[int]:
    """Indices into the model's table of T noise levels, falling; fewer than N where truncation would repeat one.

    t_i = truncate(linspace(T - skip*T - 1, 1, N)); source: official code, `DPMSolverMultistepSchedulerInject.set_timesteps`. Its last
    step begins almost without noise and changes nothing. In few steps t_i = truncate(linspace(T - skip*T - 1, 0, N + 1)) without the
    last: N equal parts, the levels that checkpoints of few steps were trained at.

    Raises:
        ValueError: steps below 1, or skip, the share of the noise range left out at the top, outside 0 <= skip < 1.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1 is needed")
    if not 0 <= skip < 1:
        raise ValueError(f"skip is {skip}; it is a share of the noise range, 0 or more and below 1")
    top = max(table_size - skip * table_size - 1, 1)
    levels = np.linspace(top, 0, steps + 1)[:-1].clip(1) if steps <= FEW_STEPS else np.linspace(top, 1, steps)
    return list(dict.fromkeys(int(t) for t in levels))


def sigmas(table: Tensor, steps: int, skip: float) -> Tensor:
    """The noise levels of a model's rising table, [T], at `timesteps`, followed by 0; [N + 1] float32."""
    levels = table.detach().float().cpu()[timesteps(steps, skip, len(table))]
    return torch.cat([levels, levels.new_zeros(1)])


def reference_kappa(timestep: float) -> float:
    """kappa = sigma / alpha of SD 1.5 at one of its timesteps, 0 to 999; between two of them its logarithm is interpolated."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas_bar = np.cumprod(1 - betas)
    return math.exp(np.interp(timestep, np.arange(1000), np.log(1 / alphas_bar - 1) / 2))


def flow_sigmas(table: Tensor, steps: int, skip: float) -> Tensor:
    """Noise levels of a flow model that mean what `sigmas` means for SD 1.5; [N + 1] float32, ending in 0.

    They begin where sigma / (1 - sigma) is SD 1.5's kappa at the same skip: the same share of its own range would be nearly pure
    noise in most flow models. From there they fall to 0 in equal steps of the model's own time, whose T equal parts end at the
    levels of its rising table, [T].
    """
    kappa = reference_kappa(timesteps(steps, skip)[0])
    levels = np.concatenate([[0.0], table.detach().double().cpu().numpy()])
    times = np.arange(len(levels))
    start = np.interp(kappa / (1 + kappa), levels, times)
    return torch.from_numpy(np.interp(np.linspace(start, 0, steps + 1), times, levels)).float()


def check_falling(levels: Tensor) -> None:
    """ValueError for a list that the solver cannot follow: fewer than two entries, not finite, negative, or not strictly falling."""
    values = levels.tolist()
    if len(values) < 2:
        raise ValueError(f"sigmas has {len(values)} entries; at least two are needed, from the noisiest to the cleanest")
    if not all(np.isfinite(values)) or values[-1] < 0:
        raise ValueError("sigmas must be finite and not negative")
    for i, (high, low) in enumerate(itertools.pairwise(values)):
        if high <= low:
            raise ValueError(f"sigmas must fall from each step to the next, but entry {i} is {high:.4g} and entry {i + 1} is {low:.4g}")
