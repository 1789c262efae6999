"""Where an edit may act: masks from cross-attention and from noise differences (LEDITS++, section 3.3)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

OFFICIAL_SMOOTHING = math.sqrt(0.5)  # of the official 3x3 kernel: its "0.5" is divided twice, so its weights are exp(-(dx^2 + dy^2))


def gaussian_kernel(sigma: float) -> Tensor:
    """Weights of a square Gaussian window that sum to 1, [k, k] float32; 3x3 at the official sigma, wider for larger ones."""
    radius = max(1, math.ceil(2 * sigma - 0.5))
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-distance.square() / (2 * sigma * sigma))
    window = torch.outer(line, line)
    return (window / window.sum()).float()


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of maps [..., h, w] with mirrored borders; sigma in pixels of the map, 0 for none."""
    if sigma == 0:
        return maps
    h, w = maps.shape[-2:]
    kernel = gaussian_kernel(sigma).to(maps.device)
    radius = kernel.shape[0] // 2
    # Reflection needs radius < side; smaller maps repeat their border instead.
    flat = maps.reshape(-1, 1, h, w)
    mode = "reflect" if radius < min(h, w) else "replicate"
    padded = F.pad(flat, (radius, radius, radius, radius), mode=mode)
    return F.conv2d(padded, kernel[None, None]).reshape(maps.shape)


def above_quantile(maps: Tensor, quantile: float) -> Tensor:
    """[map >= theta] as 0 or 1, [..., h, w] float32; theta is the quantile lambda over each map by linear interpolation.

    Without ties n - ceil(lambda (n - 1)) of n pixels pass.
    """
    flat = maps.float().flatten(-2)
    # The next value at or above theta selects the same pixels. torch.quantile computes the rank in float32, which loses a pixel
    # where lambda (n - 1) is whole and rounds up, and takes at most 2^24 values.
    rank = math.ceil(quantile * (flat.shape[-1] - 1) - 1e-6)
    cut = flat.sort(-1).values[..., rank]
    return (maps >= cut[..., None, None]).float()


def above_otsu(maps: Tensor) -> Tensor:
    """[map >= theta] as 0 or 1, [..., h, w] float32; theta parts each map into the two classes that differ most (Otsu, 1979).

    That is where the variance between the classes, S_k^2 / (k (n - k)), is largest; S_k is the sum of the k lowest of the n values, less
    k times their mean. All of a flat map passes.
    """
    values = maps.float().flatten(-2).sort(-1).values
    n = values.shape[-1]
    sums = (values - values.mean(-1, keepdim=True)).cumsum(-1)[..., :-1]
    k = torch.arange(1, n, device=maps.device)
    # Equal values are on one side. The first entry is no cut at all.
    variance = (sums.square() / (k * (n - k))).masked_fill(values[..., 1:] == values[..., :-1], 0)
    cut = values.gather(-1, F.pad(variance, (1, 0)).argmax(-1, keepdim=True))
    return (maps >= cut[..., None]).float()


def above_threshold(maps: Tensor, threshold: float) -> Tensor:
    """[map >= theta] as 0 or 1; theta is the quantile `threshold` of each map, and for a threshold of 0 found by Otsu's method."""
    return above_quantile(maps, threshold) if threshold else above_otsu(maps)


def dilate(masks: Tensor, width: int) -> Tensor:
    """Masks or maps [..., H, W] of three or four dimensions, grown by `width` pixels on each side."""
    rows = F.max_pool2d(masks, (1, 2 * width + 1), 1, (0, width))
    return F.max_pool2d(rows, (2 * width + 1, 1), 1, (width, 0))


def resize_nearest(masks: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w] to [B, height, width] by nearest neighbours."""
    return F.interpolate(masks[:, None].float(), size=(height, width), mode="nearest")[:, 0]


def resize_bilinear(maps: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w] to [B, height, width] without steps, for heatmaps and soft masks."""
    return F.interpolate(maps[:, None].float(), size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def min_max_normalize(maps: Tensor) -> Tensor:
    """Each map stretched to 0..1; a flat map becomes 0."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def noise_mask(guidance: Tensor, threshold: float) -> Tensor:
    """M2: where the concept's guidance G, [B, C, H, W], is strong; [B, 1, H, W] of 0 and 1.

    S = sum over channels of |G|, M2 = [S >= theta], theta as in `above_threshold`. Pixels without guidance never pass, so that the result
    stays inside a user's mask that is smaller than 1 - threshold (the official code lets everything pass there).
    """
    strength = guidance.float().abs().sum(1, keepdim=True)
    return above_threshold(strength, threshold) * (strength > 0)


def attention_mask(word_map: Tensor, threshold: float, height: int, width: int, smoothing: float = OFFICIAL_SMOOTHING) -> Tensor:
    """M1: where the attention of the concept's words, [B, h, w], is strong; [B, 1, height, width] of 0 and 1."""
    return resize_nearest(above_threshold(smooth(word_map.float(), smoothing), threshold), height, width)[:, None]
