"""Masks and pictures in figures: overlap with the true region, the best overlap that a grid allows, and what happened elsewhere."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CELL = 8
"""Pixels along a side of a latent cell."""


def iou(mask: np.ndarray, region: np.ndarray) -> float:
    """Intersection over union, in pixels, of a mask of cells with a region.

    Args:
        mask: [h, w] bool, of any size that divides the region's.
        region: [H, W] bool.
    """
    held = pixels_held(region, mask.shape)
    shared = held[mask].sum()
    return float(shared / (mask.sum() * (region.size // mask.size) + region.sum() - shared))


def pixels_held(region: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """How many of the region's pixels each cell of the grid holds, [h, w] int."""
    rows, columns = grid
    return region.reshape(rows, region.shape[0] // rows, columns, region.shape[1] // columns).sum((1, 3))


def iou_ceiling(region: np.ndarray, grid: tuple[int, ...], cells: int) -> float:
    """The best overlap that so many cells of this grid can have: those that hold most of the region."""
    best = np.argsort(-pixels_held(region, grid), axis=None, kind="stable")[:cells]
    mask = np.zeros(grid, bool)
    mask.flat[best] = True
    return iou(mask, region)


def overlap(masks: np.ndarray, region: np.ndarray, grid: tuple[int, ...]) -> tuple[float, float]:
    """Mean overlap of one concept's masks with its region, and the mean of their ceilings.

    Args:
        masks: [steps, h, w] bool, as large as the latent.
        grid: the cells that the masks were cut in, where these are coarser than the latent's.
    """
    coarse = masks.shape[1] * masks.shape[2] // (grid[0] * grid[1])
    counts = masks.sum((1, 2))
    ceilings = {count: iou_ceiling(region, grid, round(count / coarse)) for count in np.unique(counts)}
    return float(np.mean([iou(mask, region) for mask in masks])), float(np.mean([ceilings[count] for count in counts]))


def widened(region: np.ndarray) -> np.ndarray:
    """The region and all pixels within a latent cell of it."""
    return ndimage.maximum_filter(region, 2 * CELL + 1, mode="constant")


def background_psnr(picture: np.ndarray, original: np.ndarray, region: np.ndarray) -> float:
    """PSNR in dB outside the region, which is widened by a latent cell first.

    Args:
        picture, original: [H, W, 3] uint8.
    """
    outside = ~widened(region)
    error = (picture.astype(np.float64) - original)[outside]
    return float(10 * np.log10(255**2 / max(np.square(error).mean(), 1e-12)))
