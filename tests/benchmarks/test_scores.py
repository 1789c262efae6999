"""Overlaps, their ceilings and the PSNR, on cases small enough to count by hand."""

import numpy as np
import pytest

from benchmarks.quality.scores import Overlap, background_psnr, iou, iou_ceiling, mean_change, overlap, pixels_held, psnr


def region(rows, columns, size=64):
    found = np.zeros((size, size), bool)
    found[rows, columns] = True
    return found


def cells(*places, grid=(8, 8)):
    mask = np.zeros(grid, bool)
    for place in places:
        mask[place] = True
    return mask


def test_a_mask_of_the_regions_own_cells_overlaps_it_wholly():
    assert iou(cells((0, 0), (0, 1)), region(slice(0, 8), slice(0, 16))) == 1


def test_overlap_counts_pixels():
    # One cell of 64 pixels that holds 32 of the region's 48: 32 shared, 80 in either.
    assert iou(cells((0, 0)), region(slice(0, 4), slice(0, 12))) == pytest.approx(32 / 80)


def test_no_overlap_and_no_mask():
    assert iou(cells((7, 7)), region(slice(0, 8), slice(0, 8))) == 0
    assert iou(cells(), region(slice(0, 8), slice(0, 8))) == 0


def test_pixels_held_by_unequal_sides():
    held = pixels_held(region(slice(0, 20), slice(0, 10)), (4, 8))
    assert held.shape == (4, 8)
    assert held[0].tolist() == [128, 32, 0, 0, 0, 0, 0, 0]
    assert held.sum() == 200


def test_the_ceiling_takes_the_cells_that_hold_most():
    # 8 rows of 20 columns: two full cells and one of half; 160 pixels in all.
    found = region(slice(0, 8), slice(0, 20))
    assert iou_ceiling(found, (8, 8), 1) == pytest.approx(64 / 160)
    assert iou_ceiling(found, (8, 8), 2) == pytest.approx(128 / 160)
    assert iou_ceiling(found, (8, 8), 3) == pytest.approx(160 / 192)
    assert iou_ceiling(found, (8, 8), 4) == pytest.approx(160 / 256)


def test_a_coarser_grid_has_a_lower_ceiling():
    found = region(slice(4, 20), slice(4, 20))
    assert iou_ceiling(found, (4, 4), 1) == pytest.approx(144 / 368)  # 12x12 shared by 16x16 and 16x16
    assert iou_ceiling(found, (16, 16), 16) == 1


def test_no_choice_of_as_many_cells_beats_the_ceiling():
    rng = np.random.default_rng(1)
    found = region(slice(11, 45), slice(3, 30))
    for count in (1, 5, 20, 40):
        ceiling = iou_ceiling(found, (8, 8), count)
        for _ in range(50):
            mask = np.zeros(64, bool)
            mask[rng.permutation(64)[:count]] = True
            assert iou(mask.reshape(8, 8), found) <= ceiling


def test_the_ceiling_of_a_coarse_mask_counts_its_own_cells():
    """A mask cut in 4x4 cells and stretched to 8x8: one coarse cell passes, not four fine ones."""
    found = region(slice(4, 20), slice(4, 20))
    mask = np.kron(cells((0, 0), grid=(4, 4)), np.ones((2, 2))).astype(bool)
    both = overlap(np.stack([mask, mask]), found, (4, 4))
    assert both.iou == both.ceiling == pytest.approx(144 / 368)
    assert overlap(mask[None], found, (8, 8)).ceiling > both.ceiling


def test_overlaps_are_means_over_steps():
    found = region(slice(0, 8), slice(0, 8))
    masks = np.stack([cells((0, 0)), cells((5, 5)), cells((0, 0), (0, 1))])
    assert overlap(masks, found, (8, 8)) == Overlap(
        iou=(1 + 0 + 0.5) / 3, ceiling=(1 + 1 + 0.5) / 3, outside=(0 + 1 + 0.5) / 3, missed=1 / 3
    )


def test_an_empty_mask_misses_all_and_is_nowhere_too_large():
    found = overlap(cells()[None], region(slice(0, 8), slice(0, 8)), (8, 8))
    assert (found.iou, found.missed) == (0, 1)
    assert found.outside == 1  # of nothing: it counts as elsewhere


def test_change_inside_and_outside():
    original = np.full((64, 64, 3), 100, np.uint8)
    picture, found = original.copy(), region(slice(0, 8), slice(0, 8))
    picture[:8, :8] = 140
    picture[8:16, 8:16] = 255  # within a latent cell of the region: nobody's
    picture[32:64] = 98
    assert mean_change(picture, original, found) == pytest.approx((40, 2 * 32 * 64 / (64 * 64 - 16 * 16)))
    assert psnr(original, original) > 100


def test_psnr_sees_only_the_background():
    original = np.full((64, 64, 3), 100, np.uint8)
    picture, found = original.copy(), region(slice(16, 32), slice(16, 32))
    picture[8:40, 8:40] = 255  # the region and a latent cell around it
    assert background_psnr(picture, original, found) > 100
    picture[40, 20] = 110
    outside = 64 * 64 - 32 * 32
    assert background_psnr(picture, original, found) == pytest.approx(10 * np.log10(255**2 / (100 / outside)))


def test_psnr_of_a_uniform_error():
    original = np.full((64, 64, 3), 100, np.uint8)
    assert background_psnr(original + np.uint8(5), original, region(slice(0, 8), slice(0, 8))) == pytest.approx(
        20 * np.log10(255 / 5), abs=1e-6
    )
