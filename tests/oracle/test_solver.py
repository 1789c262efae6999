"""One step of ours against diffusers' schedulers, with the same noise."""

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from benchmarks.reference.pipeline import BETAS
from ledits.solver import NoiseKind, NoiseLevel, solver_mean
from support.closed_forms import step_noise_std

STEPS = 12


def walk(scheduler, levels, seed=0):
    """Every step of the scheduler from its own states with random predictions, beside ours from the same states; relative differences."""
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn((1, 4, 16, 16), generator=generator, dtype=torch.float64)

    x, earlier, errors = draw(), None, []
    for i, t in enumerate(scheduler.timesteps):
        denoised, noise = draw(), draw()
        level, following = levels[i], levels[i + 1]
        theirs = scheduler.step(predicted(scheduler, x, denoised, level), t, x, variance_noise=noise).prev_sample
        ours = solver_mean(x, level, following, denoised, earlier) + step_noise_std(level, following) * noise
        errors.append(((ours - theirs).norm() / theirs.norm()).item())
        x, earlier = theirs, (level, denoised)
    return errors


def predicted(scheduler, x, denoised, level):
    """The network's output that stands for this denoised prediction."""
    if scheduler.config.prediction_type == "flow_prediction":
        return (x - denoised) / level.sigma
    return (x - level.alpha * denoised) / level.sigma


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_variance_preserving_steps(final):
    scheduler = DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++", solver_order=2, final_sigmas_type=final, lower_order_final=final == "zero"
    )
    scheduler.set_timesteps(STEPS)
    levels = [NoiseLevel((1 + kappa**2) ** -0.5, kappa * (1 + kappa**2) ** -0.5) for kappa in scheduler.sigmas.double().tolist()]
    assert max(walk(scheduler, levels)) < 1e-6


def test_variance_preserving_steps_in_comfyuis_convention():
    """x / alpha with sigma / alpha takes the same step as x with (alpha, sigma)."""
    generator = torch.Generator().manual_seed(1)
    x, denoised, before = (torch.randn((1, 4, 8, 8), generator=generator, dtype=torch.float64) for _ in range(3))
    kappas = [5.0, 3.0, 2.0]
    vp = [NoiseLevel((1 + k * k) ** -0.5, k * (1 + k * k) ** -0.5) for k in kappas]
    host = [NoiseKind(False).level(k) for k in kappas]
    theirs = solver_mean(x, vp[1], vp[2], denoised, (vp[0], before)) / vp[2].alpha
    assert torch.allclose(solver_mean(x / vp[1].alpha, host[1], host[2], denoised, (host[0], before)), theirs, rtol=1e-9)
    assert step_noise_std(host[1], host[2]) == pytest.approx(step_noise_std(vp[1], vp[2]) / vp[2].alpha)


def test_flow_steps():
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", solver_order=2, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    scheduler.set_timesteps(STEPS)
    levels = [NoiseKind(True).level(sigma) for sigma in scheduler.sigmas.double().tolist()]
    assert max(walk(scheduler, levels)) < 1e-6
