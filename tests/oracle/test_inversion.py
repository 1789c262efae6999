"""Inversion beside the repaired reference: the same states, the same corrections."""

import pytest
import torch

from ledits.inversion import trajectory
from ledits.schedule import timesteps
from ledits.solver import NoiseKind
from support.closed_forms import step_noise_std
from support.levels import LEVELS


@pytest.fixture
def reference(pipeline, latents):
    repaired = pipeline()
    repaired.invert_latents(latents, len(LEVELS), 0.15, seed=5)
    return repaired


def test_both_visit_the_same_levels(reference, model, sigmas):
    assert [int(t) for t in reference.inversion_steps] == LEVELS
    assert timesteps(20, 0.15) == LEVELS
    sampling = model.model.model_sampling
    assert sampling.timestep(sigmas[:-1]).tolist() == LEVELS
    assert torch.allclose(sampling.sigmas[[*LEVELS, 0]], sigmas, rtol=1e-4)


def test_both_start_from_the_same_state(reference, inversion):
    alpha = (1 + inversion.trajectory.sigmas[0] ** 2) ** -0.5
    assert (reference.init_latents - alpha * inversion.trajectory.x_T).abs().max() < 1e-5


def test_both_store_the_same_corrections(reference, inversion, latents):
    """z = delta / c, to 1e-4. The reference's walk ends at x0 in its own convention, alpha x, and ours at x0 in ComfyUI's, x."""
    walk = inversion.trajectory
    levels = NoiseKind(False).levels(walk.sigmas)
    for i in range(walk.steps):
        correction = walk.noise_maps[i]
        if i == walk.steps - 1:
            correction = correction + latents * ((1 + levels[-1].sigma ** 2) ** 0.5 - 1)
        z = correction / step_noise_std(levels[i], levels[i + 1])
        # Where two predictions of a random network differ much, z has a spread of 10 and more.
        assert (z - reference.zs[i]).abs().max() < 1e-4 * max(1, reference.zs[i].std()), i


def test_the_walk_ends_at_the_picture(inversion, latents):
    assert (list(trajectory(inversion.trajectory))[-1] - latents).abs().max() < 1e-5
