"""The place of a thing: each step of the map against its formula, written out cell by cell."""

import math

import pytest
import torch
from torch.nn import functional as F

from ledits import place
from ledits.masks import gaussian_kernel, min_max_normalize, smooth
from ledits.place import average_alike, beside, multiply_maps, place_map


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_the_product_of_two_sizes():
    fine, coarse = random(2, 6, 10), random(2, 3, 5, seed=1)
    found = multiply_maps([fine, coarse], 12, 20)
    assert found.shape == (2, 12, 20)
    expected = torch.ones(2, 12, 20)
    for maps in (fine, coarse):
        kernel, sides = gaussian_kernel(math.sqrt(0.5)), maps.shape[-2:]
        padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
        smoothed = torch.zeros_like(maps)
        for row in range(3):
            for column in range(3):
                smoothed += kernel[row, column] * padded[:, row : row + sides[0], column : column + sides[1]]
        for image in range(2):
            one = smoothed[image]
            one = (one - one.min()) / (one.max() - one.min())
            expected[image] *= F.interpolate(one[None, None], (12, 20), mode="bilinear")[0, 0]
    assert torch.allclose(found, expected, atol=1e-6)


def test_where_one_size_sees_nothing_the_product_is_zero():
    fine, coarse = torch.zeros(1, 8, 8), torch.zeros(1, 4, 4)
    fine[0, 1, 1] = fine[0, 6, 6] = coarse[0, 3, 3] = 1
    found = multiply_maps([fine, coarse], 16, 16, 0)
    assert found[0, :6, :6].max() == 0
    assert found[0, 10:, 10:].max() > 0.2


@pytest.mark.parametrize("tile", [1, 3, 16])
@pytest.mark.parametrize("channels", [1, 4, 16])
def test_averaging_over_cells_alike(monkeypatch, tile, channels):
    """However many cells are averaged at once."""
    monkeypatch.setattr(place, "TILE", tile)
    maps, x0 = random(2, 4, 7), torch.randn(2, channels, 4, 7, generator=torch.Generator().manual_seed(1)) * 3 + 5
    found = average_alike(maps, x0)
    cells = [(row, column) for row in range(4) for column in range(7)]
    for image in range(2):
        latent = (x0[image] - x0[image].mean((1, 2), keepdim=True)) / x0[image].std((1, 2), correction=0, keepdim=True)
        for row, column in cells:
            total = weights = 0.0
            for i, j in cells:
                difference = (latent[:, row, column] - latent[:, i, j]).square().mean().item()
                distance = (row - i) ** 2 + (column - j) ** 2
                weight = math.exp(-difference / (2 * 0.35**2)) * math.exp(-distance / (2 * 5**2))
                total, weights = total + weight * maps[image, i, j].item(), weights + weight
            assert found[image, row, column].item() == pytest.approx(total / weights, abs=1e-4)


def test_what_is_out_of_reach_hardly_counts(monkeypatch):
    maps, x0 = random(1, 70, 90), torch.randn(1, 4, 70, 90, generator=torch.Generator().manual_seed(1))
    found = average_alike(maps, x0)
    monkeypatch.setattr(place, "REACH", 90)
    assert torch.allclose(found, average_alike(maps, x0), atol=1e-5)


def test_a_map_ends_where_the_colour_does():
    x0 = torch.full((1, 4, 16, 16), -1.0)
    x0[:, :, 4:12, 3:9] = 1
    maps = torch.zeros(1, 16, 16)
    maps[0, 6:10, 5:8] = 1  # only a part of the thing
    found = average_alike(maps, x0)
    inside = x0[0, 0] > 0
    assert found[0][inside].min() > 2 * found[0][~inside].max()


def test_one_map_is_multiplied_with_itself_at_half_its_size():
    maps, x0 = random(1, 5, 8), torch.randn(1, 4, 9, 16, generator=torch.Generator().manual_seed(1))
    pooled = F.avg_pool2d(maps[:, None], 2, ceil_mode=True)[:, 0]
    assert pooled.shape == (1, 3, 4)
    assert torch.equal(place_map([maps], x0), place_map([maps, pooled], x0))


def test_every_image_has_its_own_place():
    maps, x0 = random(2, 8, 8), torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    both = place_map([maps], x0)
    for image in range(2):
        alone = place_map([maps[image][None]], x0[image][None])
        assert torch.allclose(both[image], alone[0], atol=1e-5)
    assert both.min() >= 0
    assert both.max() <= 1


def test_flat_latents_and_flat_maps_are_finite():
    assert torch.isfinite(place_map([torch.ones(1, 2, 2)], torch.zeros(1, 4, 4, 4))).all()
    assert torch.isfinite(place_map([random(1, 2, 2)], torch.zeros(1, 4, 4, 4))).all()


def test_smoothing_is_that_of_the_masks():
    maps = random(1, 8, 8)
    expected = min_max_normalize(smooth(maps, 2.0))
    assert torch.allclose(multiply_maps([maps], 8, 8, 2.0), expected)


def test_beside_a_thing_is_everywhere_but_there_and_close_around_it():
    maps = random(2, 5, 8)
    found = beside(maps)
    for image in range(2):
        for row in range(5):
            for column in range(8):
                near = maps[image, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
                assert found[image, row, column] == 1 - near.max()
