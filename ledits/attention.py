"""Cross-attention maps: probabilities of one layer, and their means over layers, heads and steps (LEDITS++, section 3.3)."""

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from .words import plain_separators

MAX_SCORES = 1 << 24  # attention scores that are held at once: 64 MB, as many again for their softmax


@dataclass(frozen=True)
class StoreSettings:
    """Which layers are recorded, and whether masks use one step's map or the mean over the steps so far."""

    resolution: int = 0  # pixels along the shorter side of the maps; 0: a quarter of the latent
    up: bool = True
    down: bool = True
    mid: bool = False  # chosen by position: in SDXL its maps have the wanted size too
    average_steps: bool = False
    blocks: tuple[int, ...] = ()  # of a transformer, counted from 0; none: chosen by the network. The four above are a UNet's


def parse_blocks(text: str) -> tuple[int, ...]:
    """The block numbers in a text such as "8-12, 15"; none in an empty one. ValueError names what is not a number or a range."""
    blocks: set[int] = set()
    for part in filter(None, re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", plain_separators(text).strip()))):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise ValueError(f"has {part!r}, which is not a block's number or a range of them: write them as in '8-12, 15'")
        blocks.update(range(first, last + 1))
    return tuple(sorted(blocks))


def middle_third(depth: int, most: int) -> tuple[int, ...]:
    """At most so many blocks, evenly spread over the middle third of all."""
    count = max(1, min(most, depth // 3))
    return tuple(int(depth / 3 * (1 + (index + 0.5) / count)) for index in range(count))


def downsampling_steps(height: int, width: int, resolution: int, levels: Iterable[int]) -> int:
    """How often a UNet halves a latent on the way to the recorded layers, which are at `levels`; ValueError where none has the resolution."""
    sides = {min(downsampled_size(height, width, level)): level for level in sorted(levels, reverse=True)}
    automatic = min(downsampled_size(height, width, 2))
    side = resolution or automatic
    if side in sides:
        return sides[side]
    asked = resolution or f"0 (automatic: {automatic})"
    choices = ", ".join(map(str, reversed(sides))) or "no size"
    raise ValueError(
        f"is {asked}, but maps of this {width}x{height} latent can have a shorter side of {choices} in the layers that are on: "
        "choose that, or other layers (up, down, mid)"
    )


def downsampled_size(height: int, width: int, steps: int) -> tuple[int, int]:
    """Size of a latent after so many stride-2 convolutions, which round up."""
    return -(-height // 2**steps), -(-width // 2**steps)


def cross_attention_probabilities(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) summed over heads: [B, queries, heads * d] and [B, tokens, heads * d] to [B, queries, tokens] float32."""
    batch, queries, channels = query.shape
    q = query.float().view(batch, queries, heads, -1)
    k = key.float().view(batch, key.shape[1], heads, -1)
    total = q.new_zeros(batch, queries, key.shape[1])
    for head in range(heads):
        scores = q[:, :, head] @ k[:, :, head].transpose(1, 2)
        total += (scores * (channels // heads) ** -0.5).softmax(-1)
    return total


def attention_probabilities(
    query: Tensor, key: Tensor, columns: Sequence[Sequence[slice]], scale: float | None = None, mask: Tensor | None = None
) -> Tensor:
    """softmax(Q K^T scale + mask) over all keys, read at some of them and summed over heads; float32 [B, queries, tokens].

    Args:
        query, key: [B, heads, queries, d] and [B, heads or a divisor of it, keys, d].
        columns: the keys to read, one part after the other; slices of one part are copies and are added.
        scale: d^-0.5 unless given.
        mask: added to the scores, or True where a key may be seen; of any shape that PyTorch's attention takes.
    """
    batch, heads, queries, width = query.shape
    step = max(1, MAX_SCORES // (batch * key.shape[2]))
    total = query.new_zeros(batch, queries, sum(copies[0].stop - copies[0].start for copies in columns), dtype=torch.float32)
    if mask is not None:
        mask = mask[None] if mask.ndim == 2 else mask
        mask = (mask[:, None] if mask.ndim == 3 else mask).expand(-1, heads, queries, -1)
    for head in range(heads):
        keys = key[:, head * key.shape[1] // heads].float().transpose(1, 2)
        for start in range(0, queries, step):
            part = slice(start, start + step)
            scores = query[:, head, part].float() * (width**-0.5 if scale is None else scale) @ keys
            if mask is not None:
                bias = mask[:, head, part]
                scores = scores.masked_fill(~bias, -torch.inf) if bias.dtype == torch.bool else scores + bias.float()
            probabilities = scores.softmax(-1)
            total[:, part] += torch.cat([reduce(torch.add, (probabilities[..., copy] for copy in copies)) for copies in columns], -1)
    return total


def merge_repeated_context(maps: Tensor, length: int) -> Tensor:
    """Sums the copies of each token where a context was repeated: [..., n * length] to [..., length]; ValueError for other lengths."""
    tokens = maps.shape[-1]
    if tokens % length:
        raise ValueError(
            f"the attention has {tokens} tokens, which is not a multiple of the prompt's {length}: "
            "another node adds tokens of its own to the prompt, so its words cannot be told apart"
        )
    return maps.reshape(*maps.shape[:-1], tokens // length, length).sum(-2)


def paste_area(maps: Tensor, area: Sequence[int], height: int, width: int, size: tuple[int, int]) -> Tensor:
    """Maps of an area that was predicted alone, [B, h, w, words], in the map of the whole image, [B, *size, words]; 0 around them.

    Args:
        area: height, width, top and left in a latent of height x width.
    """
    area_height, area_width, top, left = area
    index = (..., slice(top, top + area_height), slice(left, left + area_width))
    inside, canvas = maps.new_zeros(1, 1, height, width), maps.new_zeros(maps.shape[0], maps.shape[-1], height, width)
    inside[index] = 1
    canvas[index] = F.interpolate(maps.movedim(-1, 1), size=tuple(canvas[index].shape[-2:]), mode="nearest")
    inside, canvas = (F.interpolate(part, size=size, mode="area") for part in (inside, canvas))
    return (canvas / inside.clamp_min(torch.finfo(inside.dtype).tiny)).movedim(1, -1)


def weighted_mean(maps: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean of pairs of weights, [B or 1, h or 1, w or 1, 1], and maps, [B, h, w, words]; 0 where none has weight."""
    total = weights = torch.zeros(())
    for weight, values in maps:
        total, weights = total + weight * values, weights + weight
    return total / weights.clamp_min(torch.finfo(torch.float32).tiny)


@dataclass
class RunningMean:
    """The mean of tensors of one shape that come one by one; only their sum, float32, is kept."""

    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    count: int = 0

    def add(self, total: Tensor, count: int = 1) -> None:
        """Adds `count` values, given their sum."""
        self.total = self.total + total
        self.count += count

    def mean(self) -> Tensor:
        assert self.count, "nothing was recorded"
        return self.total / self.count


class WordMaps(RunningMean):
    """The mean over the recorded steps of the maps of a prompt's words: [B, h, w, words] float32."""

    def __init__(self, text: str, words: tuple[str, ...]):
        super().__init__()
        self.text, self.words = text, words

    @property
    def steps(self) -> int:
        return self.count

    def to(self, device: torch.device) -> "WordMaps":
        moved = copy.copy(self)
        moved.total = self.total.to(device)
        return moved
