"""Recording cross-attention: which layers, which rows, and the means over layers, heads and steps (LEDITS++, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class StoreSettings:
    """Which layers are recorded.

    Attributes:
        resolution: cells along the shorter side of the maps; 0 takes a quarter of the latent on each side.
        up, down, mid: parts of the UNet. The middle block is left out by position: in SDXL its size is the wanted one too.
        average_steps: masks use the mean over the steps so far instead of the current step's map.
    """

    resolution: int = 0
    up: bool = True
    down: bool = True
    mid: bool = False
    average_steps: bool = False

    def records(self, part: str) -> bool:
        """Whether blocks of this part of the UNet ("input", "middle" or "output") are recorded."""
        return {"input": self.down, "middle": self.mid, "output": self.up}.get(part, False)


def halvings(height: int, width: int, resolution: int = 0) -> int:
    """How often the network halves a latent of height x width cells on the way to the recorded layers.

    Raises:
        ValueError: no halving of the latent has `resolution` cells along its shorter side.
    """
    sizes = [min(height, width)]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // 2))
    if resolution == 0:
        return min(2, len(sizes) - 1)
    if resolution in sizes:
        return sizes.index(resolution)
    choices = ", ".join(map(str, sizes))
    raise ValueError(f"resolution is {resolution}, but maps of this {width}x{height} latent can have {choices} cells on the shorter side")


def halved(height: int, width: int, times: int) -> tuple[int, int]:
    """Rows and columns of a latent halved so often, as stride-2 convolutions do, rounding up."""
    for _ in range(times):
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def map_size(height: int, width: int, resolution: int = 0) -> tuple[int, int]:
    """Rows and columns of the maps of a latent; see `halvings`."""
    return halved(height, width, halvings(height, width, resolution))


def cross_attention_probabilities(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) summed over heads, [B, queries, tokens] float32.

    Args:
        query: [B, queries, heads * d].
        key: [B, tokens, heads * d].
    """
    batch, queries, channels = query.shape
    q = query.float().view(batch, queries, heads, -1)
    k = key.float().view(batch, key.shape[1], heads, -1)
    total = q.new_zeros(batch, queries, key.shape[1])
    for head in range(heads):
        scores = q[:, :, head] @ k[:, :, head].transpose(1, 2)
        total += (scores * (channels // heads) ** -0.5).softmax(-1)
    return total


def fold_back(maps: Tensor, length: int) -> Tensor:
    """Sums the copies of each token where a context was repeated to a common length with longer ones: [..., n * length] to [..., length].

    Raises:
        ValueError: the maps' columns are no multiple of the prompt's.
    """
    columns = maps.shape[-1]
    if columns % length:
        raise ValueError(
            f"the attention has {columns} columns, which is no multiple of the prompt's {length} tokens: "
            "another node adds tokens of its own to the prompt, so its words cannot be told apart"
        )
    return maps.reshape(*maps.shape[:-1], columns // length, length).sum(-2)


def on_the_picture(maps: Tensor, area: Sequence[int], height: int, width: int, size: tuple[int, int]) -> Tensor:
    """Maps of an area that was predicted alone, on the map of the whole picture and 0 around it.

    Args:
        maps: [B, h, w, words] of the area.
        area: its height, width, top and left in cells of the latent, which has height x width.
        size: rows and columns of the whole picture's maps.

    Returns:
        [B, *size, words].
    """
    rows, columns, top, left = area
    place = (..., slice(top, top + rows), slice(left, left + columns))
    inside, canvas = maps.new_zeros(1, 1, height, width), maps.new_zeros(maps.shape[0], maps.shape[-1], height, width)
    inside[place] = 1
    canvas[place] = F.interpolate(maps.movedim(-1, 1), size=tuple(canvas[place].shape[-2:]), mode="nearest")
    inside, canvas = (F.interpolate(part, size=size, mode="area") for part in (inside, canvas))
    return (canvas / inside.clamp_min(torch.finfo(inside.dtype).tiny)).movedim(1, -1)


def weighted_mean(maps: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The maps of one prompt that was asked several times, each where it counts; 0 where none does.

    Args:
        maps: pairs of a weight, [B or 1, h or 1, w or 1, 1], and a map, [B, h, w, words].
    """
    total = weights = torch.zeros(())
    for weight, values in maps:
        total, weights = total + weight * values, weights + weight
    return total / weights.clamp_min(torch.finfo(torch.float32).tiny)


@dataclass
class RunningMean:
    """The mean of values that come one after the other, of which the sum alone is kept: A over layers and heads, and A over steps.

    Attributes:
        total: the sum so far, of any one shape, float32; 0 before the first.
        count: how many values are in it.
    """

    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    count: int = 0

    def add(self, total: Tensor, count: int = 1) -> None:
        """Adds so many values at once, given their sum: a layer's probabilities summed over its heads, or the maps of one step."""
        self.total = self.total + total
        self.count += count

    def mean(self) -> Tensor:
        """The mean of all values, in their shape; there must be one."""
        assert self.count, "nothing was recorded"
        return self.total / self.count


@dataclass
class WordMaps:
    """What is kept of one prompt over a run: a small map for each word, however many steps there are.

    Attributes:
        text: the prompt.
        words: its words, in the order of the maps' last axis.
        over_steps: the mean over the recorded steps, of [B, h, w, words] float32.
    """

    text: str
    words: tuple[str, ...]
    over_steps: RunningMean = field(default_factory=RunningMean)

    @property
    def steps(self) -> int:
        """How many steps were recorded."""
        return self.over_steps.count

    def add(self, maps: Tensor, steps: int = 1) -> None:
        """Adds the maps of one step, or the sum of those of several; [B, h, w, words]."""
        self.over_steps.add(maps, steps)

    def mean(self) -> Tensor:
        """The mean over the recorded steps, [B, h, w, words]."""
        return self.over_steps.mean()

    def to(self, device: torch.device) -> WordMaps:
        return replace(self, over_steps=RunningMean(self.over_steps.total.to(device), self.steps))
