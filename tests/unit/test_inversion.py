"""Solver, inversion and replay against closed forms: a Gaussian picture distribution, whose best denoiser is known."""

import math

import pytest
import torch

from ledits.inversion import add_noise, invert, replay, trajectory
from ledits.solver import NoiseKind, NoiseLevel, half_log_snr, solver_mean
from support.closed_forms import step_noise_std

MEAN, SPREAD = 0.3, 0.7
SIGMAS = {False: (14.6, 0.03), True: (1.0, 0.02)}


def gaussian_denoiser(levels):
    """E[x0 | x] for x0 ~ N(MEAN, SPREAD^2): linear in x."""

    def denoise(x, i):
        a, s = levels[i].alpha, levels[i].sigma
        gain = a * SPREAD**2 / (a * a * SPREAD**2 + s * s)
        return MEAN + gain * (x - a * MEAN)

    return denoise


def falling(steps, flow, ends_in_zero):
    high, low = SIGMAS[flow]
    levels = torch.logspace(math.log10(high), math.log10(low), steps + (0 if ends_in_zero else 1))
    return torch.cat([levels, torch.zeros(1)]) if ends_in_zero else levels


def rough(levels):
    """A denoiser that no theory covers, to stand for a network."""
    return lambda x, i: torch.tanh(1.7 * x.roll(1, -1) / (1 + levels[i].sigma)) + 0.2 * x.sin()


@pytest.fixture
def picture():
    return torch.randn(2, 4, 9, 13, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("ends_in_zero", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 50])
@pytest.mark.parametrize("denoiser", [gaussian_denoiser, rough])
def test_replay_without_an_edit_is_exact(picture, steps, ends_in_zero, flow, denoiser):
    sigmas = falling(steps, flow, ends_in_zero)
    levels = NoiseKind(flow).levels(sigmas)
    inversion = invert(picture, sigmas, denoiser(levels), noise=NoiseKind(flow), seed=3)
    for first in (0, steps):
        clean = replay(inversion, denoiser(levels), first=first) / levels[-1].alpha
        assert (clean - picture).abs().max() < 1e-5


@pytest.mark.parametrize("flow", [False, True])
def test_replay_from_any_step_takes_the_same_path_to_the_bit(picture, flow):
    sigmas = falling(10, flow, True)
    denoise = rough(NoiseKind(flow).levels(sigmas))
    inversion = invert(picture, sigmas, denoise, noise=NoiseKind(flow), seed=0)
    whole = replay(inversion, denoise)
    for first in range(11):
        calls = []
        end = replay(inversion, lambda x, i, calls=calls: calls.append(i) or denoise(x, i), first=first)
        assert torch.equal(end, whole)
        assert calls == list(range(first, 10))


def test_corrections_are_wider_than_the_solvers_own_noise():
    """Levels noised independently lie further apart than a sampler's would: each correction exceeds c, which is what lets it imprint."""
    picture = MEAN + SPREAD * torch.randn(64, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    sigmas = falling(50, False, True)
    levels = NoiseKind(False).levels(sigmas)
    inversion = invert(picture, sigmas, gaussian_denoiser(levels), noise=NoiseKind(False), seed=1)
    for i in (10, 20, 30):
        assert inversion.noise_maps[i].std().item() > step_noise_std(levels[i], levels[i + 1])
    assert torch.isfinite(inversion.noise_maps).all()


@pytest.mark.parametrize("flow", [False, True])
def test_the_solver_follows_the_gaussian_flow(flow):
    """Without noise added, many small steps carry the mean of x0 to itself and shrink the noise: the exact posterior mean."""
    sigmas = falling(400, flow, True)
    levels = NoiseKind(flow).levels(sigmas)
    denoise = gaussian_denoiser(levels)
    x = torch.full((1, 1, 1, 1), levels[0].alpha * MEAN)
    earlier = None
    for i in range(400):
        denoised = denoise(x, i)
        x = solver_mean(x, levels[i], levels[i + 1], denoised, earlier)
        earlier = (levels[i], denoised)
    assert x.item() == pytest.approx(MEAN, abs=1e-4)


def test_one_step_written_out():
    level, following, before = NoiseLevel(1.0, 4.0), NoiseLevel(1.0, 1.0), NoiseLevel(1.0, 8.0)
    x, d, d0 = torch.tensor([3.0]), torch.tensor([0.5]), torch.tensor([0.1])
    r2, ratio = 1 / 16, math.log(4) / math.log(2) / 2
    assert solver_mean(x, level, following, d, None).item() == pytest.approx(r2 * 3 + (1 - r2) * 0.5)
    assert solver_mean(x, level, following, d, (before, d0)).item() == pytest.approx(r2 * 3 + (1 - r2) * (0.5 + ratio * 0.4))
    assert step_noise_std(level, following) == pytest.approx(math.sqrt(1 - r2))
    assert solver_mean(x, level, NoiseLevel(1.0, 0.0), d, (before, d0)).item() == 0.5
    pure = NoiseKind(True).level(1.0)
    assert half_log_snr(pure) == -math.inf
    assert solver_mean(x, pure, NoiseKind(True).level(0.9), d, None).item() == pytest.approx(0.05)


def test_vp_and_flow_are_one_formula(picture):
    """The same physical step in both conventions: x_flow = x / (1 + kappa)."""
    kappas = (5.0, 3.0, 2.0)
    vp = [NoiseKind(False).level(kappa) for kappa in kappas]
    flow = [NoiseKind(True).level(kappa / (1 + kappa)) for kappa in kappas]
    d0, d = picture.sin(), picture.cos()
    ours = solver_mean(picture, vp[1], vp[2], d, (vp[0], d0)) / (1 + kappas[2])
    assert torch.allclose(ours, solver_mean(picture / (1 + kappas[1]), flow[1], flow[2], d, (flow[0], d0)), rtol=1e-6, atol=1e-6)


def test_a_picture_gets_the_same_noise_alone_and_in_a_batch(picture):
    levels = NoiseKind().levels(falling(5, False, False))
    together = add_noise(picture, levels, 9)
    assert torch.equal(together[:, 1:], add_noise(picture[1:], levels, 9))
    assert not torch.equal(add_noise(picture, levels, 8)[0], together[0])


def test_noise_is_drawn_from_the_lowest_level_to_the_highest(picture):
    levels = NoiseKind().levels(falling(5, False, False))
    assert torch.equal(add_noise(picture, levels, 9)[-2:], add_noise(picture, levels[-2:], 9))


def test_levels_are_noised_independently(picture):
    levels = NoiseKind().levels(torch.tensor([2.0, 1.0, 0.5]))
    noise = [(state - picture) / level.sigma for state, level in zip(add_noise(picture, levels, 0), levels, strict=True)]
    assert abs(torch.corrcoef(torch.stack([n[0].flatten() for n in noise]))[0, 1]) < 0.15


def test_outside_the_keep_mask_the_path_is_the_inversions_own(picture):
    sigmas = falling(8, False, True)
    denoise = rough(NoiseKind(False).levels(sigmas))
    inversion = invert(picture, sigmas, denoise, noise=NoiseKind(False), seed=2)
    keep = torch.zeros(1, 1, 9, 13)
    keep[..., :4] = 1
    edited = replay(inversion, lambda x, i: denoise(x, i) + 1, denoise_mask=lambda step: keep)
    own = list(trajectory(inversion))[-1]
    assert torch.equal(edited[..., 4:], own[..., 4:])
    assert (edited[..., :4] - own[..., :4]).abs().mean() > 0.1


def test_the_denoise_mask_of_the_next_step_is_used(picture):
    """A state is masked as the step that starts from it; the last state as the last step."""
    sigmas = falling(4, False, True)
    inversion = invert(picture, sigmas, lambda x, i: 0.5 * x, noise=NoiseKind(False), seed=0)
    asked = []
    everywhere = torch.ones(1, 1, 9, 13)
    replay(inversion, lambda x, i: 0.4 * x, denoise_mask=lambda step: asked.append(step) or everywhere)
    assert asked == [1, 2, 3, 3]


def test_callbacks_get_the_prediction_and_the_state_after_the_step(picture):
    sigmas = falling(6, False, True)
    denoise = rough(NoiseKind(False).levels(sigmas))
    inverted, edited, inputs = [], [], []
    inversion = invert(picture, sigmas, denoise, noise=NoiseKind(False), seed=0, callback=lambda i, d, x: inverted.append((d, x)))
    own = list(trajectory(inversion))
    for i, (denoised, x) in enumerate(inverted):
        assert torch.equal(denoised, inversion.denoised[i])
        assert torch.equal(x, own[i + 1])
    end = replay(inversion, lambda x, i: inputs.append(x) or denoise(x, i) + 1, first=3, callback=lambda i, d, x: edited.append((d, x)))
    assert all(torch.equal(x, after) for (_, x), after in zip(edited, [*own[1:4], *inputs[1:], end], strict=True))
    assert all(torch.equal(d, denoise(x, i) + 1) for i, (d, _), x in zip(range(3, 6), edited[3:], inputs, strict=True))


def test_reports_every_step_once(picture):
    seen = []
    sigmas = falling(6, False, True)
    inversion = invert(picture, sigmas, lambda x, i: 0.5 * x, noise=NoiseKind(False), seed=0, callback=lambda i, d, x: seen.append(i))
    replay(inversion, lambda x, i: 0.5 * x, first=3, callback=lambda i, d, x: seen.append(i))
    assert seen == [*range(6), *range(6)]
