"""Recording cross-attention: which layers, which rows, and the running sum over layers and heads (LEDITS++, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


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


def map_size(height: int, width: int, resolution: int = 0) -> tuple[int, int]:
    """Rows and columns of the maps for a latent of height x width cells, halved as stride-2 convolutions do, rounding up.

    Raises:
        ValueError: no halving of the latent has `resolution` cells along its shorter side.
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 1:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    if resolution == 0:
        return sizes[min(2, len(sizes) - 1)]
    for size in sizes:
        if min(size) == resolution:
            return size
    choices = ", ".join(str(min(size)) for size in sizes)
    raise ValueError(f"resolution is {resolution}, but maps of this {width}x{height} latent can have {choices} cells on the shorter side")


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
    return maps.unflatten(-1, (columns // length, length)).sum(-2)


@dataclass
class RunningSum:
    """One prompt's attention at one step, summed over layers and heads as they come."""

    total: Tensor | None = None
    maps: int = 0

    def add(self, probabilities: Tensor, heads: int) -> None:
        """Adds one layer: [B, queries, tokens] summed over its heads."""
        self.total = probabilities if self.total is None else self.total + probabilities
        self.maps += heads

    def mean(self, height: int, width: int) -> Tensor:
        """A: the mean over all layers and heads, [B, h, w, tokens] float32."""
        assert self.total is not None, "nothing was recorded"
        return (self.total / self.maps).unflatten(1, (height, width))


@dataclass
class WordMaps:
    """What is kept of one prompt over a run: a small map for each word and step.

    Attributes:
        text: the prompt.
        words: its words, in the order of the maps' last axis.
        steps: the numbers of the recorded steps.
        maps: one [B, h, w, words] float32 for each of them.
    """

    text: str
    words: tuple[str, ...]
    steps: list[int] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)

    def add(self, step: int, maps: Tensor) -> None:
        self.steps.append(step)
        self.maps.append(maps)

    def mean(self) -> Tensor:
        """The mean over the recorded steps, [B, h, w, words]."""
        return torch.stack(self.maps).mean(0)

    def current(self, average: bool) -> Tensor:
        """What masks use now: the mean over the steps so far, or the last step's maps; [B, h, w, words]."""
        return self.mean() if average else self.maps[-1]

    def to(self, device: torch.device) -> WordMaps:
        return WordMaps(self.text, self.words, list(self.steps), [maps.to(device) for maps in self.maps])
