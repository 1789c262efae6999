"""The published editors that are members of the solver's family, each written down as its paper has it, beside ours.

The denoisers are two nonlinear functions, for the source and the target; everything is float64.
"""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from benchmarks.reference.pipeline import BETAS
from ledits.inversion import add_noise, invert, replay
from ledits.solver import SOLVERS, NoiseKind, Solver

FLOW, EPS = NoiseKind(True), NoiseKind(False)
SEED = 4


def source(x, i):
    return torch.tanh(1.3 * x) + 0.1 * i


def target(x, i):
    return torch.sin(1.1 * x) - 0.2 * x.roll(1, -1) + 0.05 * i


@pytest.fixture
def photo():
    return torch.randn((2, 3, 5, 6), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def flow_sigmas():
    return torch.linspace(0.9, 0, 9, dtype=torch.float64)


@pytest.fixture
def alphas():
    """Cumulative alphas (alpha bar) of Stable Diffusion's training at some falling timesteps, and 1 for the image itself."""
    betas = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cat([(1 - betas).cumprod(0)[[799, 599, 399, 199]], torch.ones(1, dtype=torch.float64)])


def edit(photo, sigmas, kind, solver, base, edited):
    """Ours: the photo inverted with one denoiser and replayed with another."""
    inversion = invert(photo, sigmas, base, noise=kind, seed=SEED, solver=solver)
    return replay(inversion, edited)


def fresh_noise(photo, levels):
    """The noise of each level in ours, whose seed draws it from the lowest level to the highest."""
    states = add_noise(photo, levels, SEED)
    return [(state - level.alpha * photo) / (level.sigma or 1) for state, level in zip(states, levels, strict=True)]


def test_flowedit(photo, flow_sigmas):
    """FlowEdit, algorithm 1: Z_FE moves by the difference of the velocities at Z_tar = Z_FE + Z_src - x0 and Z_src, noised anew."""
    noises = fresh_noise(photo, FLOW.levels(flow_sigmas)[:-1])
    z = photo
    for i, (t, following) in enumerate(itertools.pairwise(flow_sigmas)):
        z_source = (1 - t) * photo + t * noises[i]
        z_target = z + z_source - photo
        velocity = (z_target - target(z_target, i)) / t - (z_source - source(z_source, i)) / t
        z = z + (following - t) * velocity
    ours = edit(photo, flow_sigmas, FLOW, Solver(eta=0, order=1), source, target)
    assert torch.allclose(ours, z, rtol=0, atol=1e-6)


def test_flowalign(photo, flow_sigmas):
    """FlowAlign's step: guidance from source to target at q, and the source's own velocity at q and p to hold the trajectory."""
    scale = 7.5
    noises = fresh_noise(photo, FLOW.levels(flow_sigmas)[:-1])
    z = photo
    for i, (t, following) in enumerate(itertools.pairwise(flow_sigmas)):
        p = (1 - t) * photo + t * noises[i]
        q = z + p - photo

        def velocity(denoiser, x, i=i, t=t):
            return (x - denoiser(x, i)) / t

        guided = velocity(source, q) + scale * (velocity(target, q) - velocity(source, q))
        z = z + (following - t) * (guided - velocity(source, p))

    def guided_prediction(x, i):
        return source(x, i) + scale * (target(x, i) - source(x, i))

    ours = edit(photo, flow_sigmas, FLOW, Solver(eta=0, order=1), source, guided_prediction)
    assert torch.allclose(ours, z, rtol=1e-6, atol=1e-6)


def test_edit_friendly_ddpm(photo, alphas):
    """Edit-friendly DDPM: x_t noised independently, the posterior's mean, z_t = (x_{t-1} - mu_t) / sigma_t, and the same z_t to edit."""
    kappas = ((1 - alphas) / alphas).sqrt()
    noises = fresh_noise(photo, EPS.levels(kappas)[:-1])
    states = [a.sqrt() * photo + (1 - a).sqrt() * e for a, e in zip(alphas, [*noises, 0], strict=True)]

    def posterior(x, i, denoiser):
        a, following = alphas[i], alphas[i + 1]
        step = a / following
        mean_x0 = denoiser(x / a.sqrt(), i)  # ComfyUI's latents are divided by alpha
        mean = following.sqrt() * (1 - step) / (1 - a) * mean_x0 + step.sqrt() * (1 - following) / (1 - a) * x
        return mean, ((1 - following) / (1 - a) * (1 - step)).sqrt()

    x = states[0]
    for i in range(len(alphas) - 1):
        mean, deviation = posterior(states[i], i, source)
        z = (states[i + 1] - mean) / (deviation if deviation else 1)
        edited, _ = posterior(x, i, target)
        x = edited + (deviation if deviation else 1) * z
    ours = edit(photo, kappas, EPS, Solver(eta=1, order=1), source, target)
    assert torch.allclose(ours, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [FLOW, EPS])
def test_ddcm(photo, flow_sigmas, kind):
    """InfEdit, the virtual inversion: each state is the target's clean image, corrected by the source's error, noised with known noise."""
    sigmas = flow_sigmas if kind.flow else torch.tensor([14.6, 6.0, 2.0, 0.5, 0.0], dtype=torch.float64)
    levels = kind.levels(sigmas)
    noises = fresh_noise(photo, levels[:-1])
    x = levels[0].alpha * photo + levels[0].sigma * noises[0]
    for i, following in enumerate(levels[1:]):
        own = levels[i].alpha * photo + levels[i].sigma * noises[i]
        clean = target(x, i) + photo - source(own, i)
        x = following.alpha * clean + (following.sigma * noises[i + 1] if following.sigma else 0)
    ours = edit(photo, sigmas, kind, Solver(eta=math.inf, order=1), source, target)
    assert torch.allclose(ours, x, rtol=0, atol=1e-6)


def test_turboedit(photo, alphas):
    """TurboEdit: the states have the noise of the next level, while network and posterior are told this one."""
    kappas = ((1 - alphas) / alphas).sqrt()
    solver = Solver(eta=1, order=1, path_shift=1)
    noises = fresh_noise(photo, solver.path(EPS, kappas)[:-1])
    shifted = [*alphas[1:], alphas[-1]]
    # The last of the steps' states has no noise; the end is the photo.
    states = [a.sqrt() * photo + (1 - a).sqrt() * e for a, e in zip(shifted, [*noises, 0], strict=True)]
    x = states[0]
    for i in range(len(alphas) - 1):
        a, following = alphas[i], alphas[i + 1]

        def mean(x, denoiser, a=a, following=following, i=i):
            step = a / following
            clean = denoiser(x / a.sqrt(), i)
            return following.sqrt() * (1 - step) / (1 - a) * clean + step.sqrt() * (1 - following) / (1 - a) * x

        x = mean(x, target) + states[i + 1] - mean(states[i], source)
    ours = edit(photo, kappas, EPS, solver, source, target)
    assert torch.allclose(ours, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", [*SOLVERS.values(), *(replace(solver, path_shift=1) for solver in SOLVERS.values())])
def test_cosmos_is_the_flow_that_it_was_trained_as(photo, flow_sigmas, solver):
    """ComfyUI gives Cosmos x0 + sigma noise, of which the network sees 1 / (1 + sigma): a flow at the share sigma / (1 + sigma)."""
    kappas = flow_sigmas / (1 - flow_sigmas)

    def as_seen(denoiser):
        return lambda x, i: denoiser(x / (1 + kappas[i]), i)

    ours = edit(photo, kappas, NoiseKind(trained_as_flow=True), solver, as_seen(source), as_seen(target))
    assert torch.allclose(ours, edit(photo, flow_sigmas, FLOW, solver, source, target), rtol=0, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, math.inf])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("path_shift", [0, 1])
@pytest.mark.parametrize("kind", [FLOW, EPS])
@pytest.mark.parametrize("first", [1.0, 0.9])
def test_no_edit_is_the_identity(photo, eta, order, path_shift, kind, first):
    """Of every member, also from pure noise, in ten steps that end without noise."""
    sigmas = torch.linspace(first, 0, 11, dtype=torch.float64) * (1 if kind.flow else 14.6)
    solver = Solver(eta, order, path_shift)
    assert torch.allclose(edit(photo, sigmas, kind, solver, source, source), photo, rtol=0, atol=1e-12)
