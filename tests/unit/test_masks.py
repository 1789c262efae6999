import pytest
import torch

from ledits.masks import (
    OFFICIAL_SMOOTHING,
    above_otsu,
    above_quantile,
    above_threshold,
    attention_mask,
    dilate,
    gaussian_kernel,
    min_max_normalize,
    noise_mask,
    resize_bilinear,
    resize_nearest,
    smooth,
)


def test_the_official_kernel():
    kernel = gaussian_kernel(OFFICIAL_SMOOTHING)
    assert kernel.shape == (3, 3)
    assert kernel[1, 1].item() == pytest.approx(0.33191, abs=1e-5)
    assert kernel[0, 1].item() == pytest.approx(0.12210, abs=1e-5)
    assert kernel[0, 0].item() == pytest.approx(0.04492, abs=1e-5)


@pytest.mark.parametrize("sigma", [0.3, OFFICIAL_SMOOTHING, 1.0, 2.5])
def test_kernels_sum_to_one_and_fit_their_sigma(sigma):
    kernel = gaussian_kernel(sigma)
    assert kernel.sum().item() == pytest.approx(1)
    assert kernel.shape[0] // 2 >= 1.5 * sigma or kernel.shape[0] == 3


def test_smoothing_keeps_constants_and_mirrors_borders():
    assert torch.allclose(smooth(torch.full((2, 8, 5), 3.0), 0.7071), torch.tensor(3.0))
    corner = torch.zeros(1, 4, 4)
    corner[0, 0, 1] = 1
    smoothed = smooth(corner, OFFICIAL_SMOOTHING)
    # The mirror image of the cell beside the corner is seen a second time from the corner.
    assert smoothed[0, 0, 0].item() == pytest.approx(2 * gaussian_kernel(OFFICIAL_SMOOTHING)[0, 1].item())
    assert torch.equal(smooth(corner, 0), corner)
    assert smooth(torch.rand(1, 1, 2), 3.0).shape == (1, 1, 2)


@pytest.mark.parametrize(("n", "quantile", "count"), [(256, 0.8, 52), (256, 0.9, 26), (4096, 0.8, 820), (4096, 0.9, 410)])
def test_how_many_cells_pass(n, quantile, count):
    assert above_quantile(torch.arange(float(n)).view(1, 1, n), quantile).sum() == count


@pytest.mark.parametrize("n", [26, 64, 256, 576, 1024, 1536, 4096])
def test_every_threshold_of_the_node_cuts_to_the_cell(n):
    maps = torch.arange(float(n)).view(1, 1, n)
    for percent in range(101):
        assert above_quantile(maps, percent / 100).sum() == n - -(-percent * (n - 1) // 100), percent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_each_picture_has_its_own_quantile_in_any_precision(dtype):
    maps = torch.stack([torch.arange(100.0).view(10, 10), 1000 + torch.arange(100.0).view(10, 10)]).to(dtype)
    assert above_quantile(maps[:1], 0.9).sum() == 10
    assert (above_quantile(maps, 0.5).flatten(1).sum(1) >= 50).all()


def test_the_extreme_quantiles():
    maps = torch.rand(1, 8, 8)
    assert above_quantile(maps, 0.0).sum() == 64
    assert above_quantile(maps, 1.0).sum() == 1


def brute_force_otsu(values):
    """The cut, one of the values, with the largest variance between what is below it and the rest."""
    best, cut = -1.0, min(values)
    for theta in sorted(set(values))[1:]:
        low, high = [value for value in values if value < theta], [value for value in values if value >= theta]
        between = len(low) * len(high) * (sum(high) / len(high) - sum(low) / len(low)) ** 2
        if between > best:
            best, cut = between, theta
    return cut


@pytest.mark.parametrize("seed", range(12))
def test_otsu_is_the_best_of_all_cuts(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(3, 5, 7, generator=generator) + 2 * (torch.rand(3, 5, 7, generator=generator) > 0.8)
    maps[1] = maps[1].mul(3).round()  # with ties
    for one, mask in zip(maps, above_otsu(maps), strict=True):
        assert torch.equal(mask, (one >= brute_force_otsu(one.flatten().tolist())).float())


def test_otsu_parts_two_classes_and_leaves_a_flat_map_whole():
    maps = torch.zeros(2, 8, 8)
    maps[0, 2:4, 3:5] = 1000
    assert torch.equal(above_otsu(maps)[0], maps[0] / 1000)
    assert above_otsu(maps)[1].all()
    assert above_otsu(torch.ones(1, 1, 1)).all()


def test_a_threshold_of_zero_is_found_and_any_other_is_the_quantile():
    maps = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(above_threshold(maps, 0), above_otsu(maps))
    assert torch.equal(above_threshold(maps, 0.01), above_quantile(maps, 0.01))


@pytest.mark.parametrize("width", [0, 1, 2])
def test_dilation_reaches_every_neighbour_within_its_width(width):
    mask = (torch.rand(2, 1, 9, 12, generator=torch.Generator().manual_seed(0)) > 0.9).float()
    expected = torch.zeros_like(mask)
    for image, _, row, column in mask.nonzero().tolist():
        expected[image, 0, max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1] = 1
    assert torch.equal(dilate(mask, width), expected)


def test_noise_mask_sums_the_channels():
    guidance = torch.zeros(1, 4, 4, 4)
    guidance[0, :, 1, 2] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    guidance[0, 0, 3, 3] = 3.5
    mask = noise_mask(guidance, 1.0)
    assert mask.shape == (1, 1, 4, 4)
    assert mask[0, 0, 1, 2] == 1
    assert mask.sum() == 1


def test_noise_mask_stays_inside_a_small_user_mask():
    guidance = torch.zeros(2, 4, 10, 10)
    guidance[:, :, :2, :2] = torch.rand(2, 4, 2, 2) + 0.1
    mask = noise_mask(guidance, 0.5)
    assert mask.flatten(1).sum(1).tolist() == [4, 4]
    assert mask[:, :, :2, :2].all()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (8, 64), (64, 96)])
def test_attention_mask_for_any_aspect(size):
    h, w = -(-size[0] // 4), -(-size[1] // 4)
    word_map = torch.zeros(2, h, w)
    word_map[0, :2, :2] = 1
    word_map[1, -2:, -2:] = 1
    mask = attention_mask(word_map, 1 - 4 / (h * w), *size)
    assert mask.shape == (2, 1, *size)
    assert mask[0, 0, 0, 0] == 1
    assert mask[0, 0, -1, -1] == 0
    assert mask[1, 0, -1, -1] == 1


def test_upsampling_is_nearest():
    mask = torch.tensor([[[0.0, 1.0]]])
    assert torch.equal(resize_nearest(mask, 2, 4), torch.tensor([[[0.0, 0, 1, 1], [0, 0, 1, 1]]]))


def test_unit_range_and_resize():
    maps = torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])
    assert torch.equal(min_max_normalize(maps), torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]]]))
    assert resize_bilinear(maps, 4, 4).shape == (2, 4, 4)
