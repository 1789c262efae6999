"""Masks and pictures in figures: overlap with the true region, the best overlap that a grid allows, and what happened elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CELL = 8
"""Pixels along a side of a latent cell."""


@dataclass(frozen=True)
class Overlap:
    """One concept's masks and its region: shares in 0..1.

    Attributes:
        iou: intersection over union.
        ceiling: the best that as many cells could have.
        outside: of the masks, what is outside the region: they are too large, or elsewhere.
        missed: of the region, what no mask covers.
    """

    iou: float
    ceiling: float
    outside: float
    missed: float


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


def overlap(masks: np.ndarray, region: np.ndarray, grid: tuple[int, ...]) -> Overlap:
    """One concept's masks beside its region; means over the steps.

    Args:
        masks: [steps, h, w] bool, as large as the latent.
        grid: the cells that the masks were cut in, where these are coarser than the latent's.
    """
    coarse = masks.shape[1] * masks.shape[2] // (grid[0] * grid[1])
    counts = masks.sum((1, 2))
    ceilings = {count: iou_ceiling(region, grid, round(count / coarse)) for count in np.unique(counts)}
    shared = (masks * pixels_held(region, masks.shape[1:])).sum((1, 2))
    pixels = counts * (region.size // masks[0].size)
    return Overlap(
        iou=float(np.mean([iou(mask, region) for mask in masks])),
        ceiling=float(np.mean([ceilings[count] for count in counts])),
        outside=float(np.mean(1 - shared / np.maximum(pixels, 1))),
        missed=float(np.mean(1 - shared / region.sum())),
    )


def widened(region: np.ndarray) -> np.ndarray:
    """The region and all pixels within a latent cell of it."""
    return ndimage.maximum_filter(region, 2 * CELL + 1, mode="constant")


def background_psnr(picture: np.ndarray, original: np.ndarray, region: np.ndarray) -> float:
    """PSNR in dB outside the region, which is widened by a latent cell first.

    Args:
        picture, original: [H, W, 3] uint8.
    """
    outside = ~widened(region)
    return psnr(picture[outside], original[outside])


def psnr(picture: np.ndarray, original: np.ndarray) -> float:
    """In dB, of pictures [..., 3] uint8."""
    error = picture.astype(np.float64) - original
    return float(10 * np.log10(255**2 / max(np.square(error).mean(), 1e-12)))


def mean_change(picture: np.ndarray, original: np.ndarray, region: np.ndarray) -> tuple[float, float]:
    """How much the picture differs from the original inside the region and outside the widened one: mean absolute levels of 255."""
    change = np.abs(picture.astype(np.float64) - original).mean(-1)
    return float(change[region].mean()), float(change[~widened(region)].mean())
