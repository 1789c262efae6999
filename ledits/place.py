"""Where in the photo the thing is that words name: one map from one look at the photo, which stands still over all steps of an edit."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .masks import OFFICIAL_SMOOTHING, dilate, min_max_normalize, resize_bilinear, smooth

ALIKE = 0.35  # sigma: how far apart cells of like colour are, in standard deviations of the latent
NEAR = 5.0  # how far apart neighbours are, in cells
APART = 2  # cells between a thing and what is put beside it
REACH = 25  # cells beyond which a neighbour no longer counts: exp(-25^2 / (2 NEAR^2)) < 4e-6
TILE = 16  # rows and columns of cells that are averaged at once


def place_map(maps: Sequence[Tensor], x0: Tensor, smoothing: float = OFFICIAL_SMOOTHING) -> Tensor:
    """Where the words are in the photo, [B, H, W] in 0..1.

    Args:
        maps: the words' attention in one or two sizes, each [B, h, w].
        x0: [B, C, H, W] the photo's latent.
    """
    if len(maps) == 1:
        maps = [*maps, F.avg_pool2d(maps[0][:, None], 2, ceil_mode=True)[:, 0]]
    return average_alike(multiply_maps(maps, x0.shape[-2], x0.shape[-1], smoothing), x0)


def beside(place: Tensor) -> Tensor:
    """1 - max over |j - i| <= APART of P_j, [B, H, W] in 0..1: everywhere in the photo but on the thing and close around it."""
    return 1 - dilate(place, APART)


def multiply_maps(maps: Sequence[Tensor], height: int, width: int, smoothing: float = OFFICIAL_SMOOTHING) -> Tensor:
    """The product over sizes of u(G * A_k), [B, height, width]: where fine and coarse maps agree.

    G is the Gaussian of `smooth`; u stretches a map to 0..1 and brings it to the latent's size.
    """
    stretched = [resize_bilinear(min_max_normalize(smooth(part.float(), smoothing)), height, width) for part in maps]
    return torch.stack(stretched).prod(0)


def average_alike(maps: Tensor, x0: Tensor) -> Tensor:
    """P'_i = sum_j w_ij P_j / sum_j w_ij with w_ij = exp(-d_ij^2 / (2 ALIKE^2)) exp(-|i - j|^2 / (2 NEAR^2)), [B, H, W].

    d^2 is the mean over channels of the squared difference of the latents x0, [B, C, H, W], each channel standardised over its image.
    So a map ends where the photo's colour does. Each tile of cells is averaged with what is within REACH rows and
    columns of it: the cost grows with the number of cells.
    """
    _, channels, height, width = x0.shape
    x0 = x0.float()
    spread, mean = torch.std_mean(x0, (2, 3), correction=0, keepdim=True)
    colours = (x0 - mean) / (spread.clamp_min(torch.finfo(spread.dtype).tiny) * ALIKE * math.sqrt(2 * channels))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows, columns]).to(x0) / (NEAR * math.sqrt(2))
    cells = torch.cat([colours, places.expand(len(x0), -1, -1, -1)], 1)  # w = exp(-|cell_i - cell_j|^2)
    values = torch.stack([maps, torch.ones_like(maps)], 1)
    sums = torch.empty_like(values)
    for top, left in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        tile = (..., slice(top, top + TILE), slice(left, left + TILE))
        near = (..., slice(max(0, top - REACH), top + TILE + REACH), slice(max(0, left - REACH), left + TILE + REACH))
        weights = torch.cdist(cells[tile].flatten(2).mT, cells[near].flatten(2).mT).square_().neg_().exp_()
        sums[tile] = (values[near].flatten(2) @ weights.mT).view_as(sums[tile])
    total, weights = sums.unbind(1)
    return total / weights
