"""Where in the photo the thing is that words name: one map from one look at the photo, which stands still over all steps of an edit."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .masks import OFFICIAL_SMOOTHING, dilate, min_max_normalize, resize_bilinear, smooth

ALIKE = 0.35  # sigma: how far apart cells of like colour are, in standard deviations of the latent
NEAR = 5.0  # how far apart neighbours are, in cells
APART = 2  # cells between a thing and what is put beside it
MAX_WEIGHTS = 1 << 24  # pairs of cells that are held at once: 64 MB


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
    So a map ends where the photo's colour does. At most MAX_WEIGHTS of the (H W)^2 weights are held at once.
    """
    _, channels, height, width = x0.shape
    x0 = x0.float()
    spread, mean = torch.std_mean(x0, (2, 3), correction=0, keepdim=True)
    colours = (x0 - mean) / (spread.clamp_min(torch.finfo(spread.dtype).tiny) * ALIKE * math.sqrt(2 * channels))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows, columns]).to(x0) / (NEAR * math.sqrt(2))
    cells = torch.cat([colours, places.expand(len(x0), -1, -1, -1)], 1).flatten(2).mT.contiguous()  # w = exp(-|cell_i - cell_j|^2)
    values = torch.stack([maps, torch.ones_like(maps)], -1).flatten(1, 2)
    parts = torch.split(cells, max(1, MAX_WEIGHTS // (len(x0) * height * width)), 1)
    sums = [torch.cdist(part, cells).square_().neg_().exp_() @ values for part in parts]
    total, weights = torch.cat(sums, 1).unbind(-1)
    return (total / weights).reshape(maps.shape)
