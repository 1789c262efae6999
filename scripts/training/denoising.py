"""What a denoiser is trained on, step by step, and its loss; whatever the pictures are."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from scripts.small_model.networks import Denoiser
from scripts.training.stage import DEVICE, Stage

ATTENTION_WEIGHT = 0.1
HALF_PRECISION = DEVICE.type == "cuda" or torch.cpu.get_capabilities().get("amx_bf16", False)
"""Whether this machine multiplies faster in bfloat16."""
WORKERS = 0 if DEVICE.type == "cpu" else 6
"""Processes that make batches ahead; a CPU has better things to do."""

Pieces = tuple[tuple[str, int | None], ...]
"""A caption in pieces, each with the number of the region that it names, or None. Article and noun are one piece."""


@dataclass(frozen=True)
class View:
    """What one row of a batch shows.

    Attributes:
        latent: [channels, h, w].
        pieces: its caption.
        regions: what share of each cell the things that it names cover, [things, h, w].
    """

    latent: Tensor
    pieces: Pieces
    regions: Tensor


@dataclass(frozen=True)
class Batch:
    """The rows of one step.

    Attributes:
        x0: latents, [B, channels, h, w].
        tokens: [B, 77] or fewer.
        words: 1 where a token names a thing, [B, things, tokens].
        regions: [B, things, h, w]; rows with fewer things than others have empty ones.
        named: 1 for each thing that is one, [B, things].
    """

    x0: Tensor
    tokens: Tensor
    words: Tensor
    regions: Tensor
    named: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@functools.cache
def tokenizer():
    from comfy.sd1_clip import SDTokenizer

    return SDTokenizer()


@functools.cache
def tokens_of(words: str) -> tuple[int, ...]:
    """A piece's tokens, without start and end."""
    tokens = [token for token, _ in tokenizer().tokenize_with_weights(words)[0]]
    return tuple(tokens[1 : tokens.index(tokenizer().end_token)])  # the padding is the end token again


def tokenize(pieces: Pieces, count: int = 77) -> tuple[list[int], list[tuple[int, int, int]]]:
    """A caption's tokens, as ComfyUI makes them, and for each thing that it names the first and last index and its number.

    The article is not counted among the thing's words.
    """
    tokens, spans = [tokenizer().start_token], []
    for words, thing in pieces:
        if thing is not None:
            article = words.startswith(("a ", "an "))
            spans.append((len(tokens) + article, len(tokens) + len(tokens_of(words)), thing))
        tokens += tokens_of(words)
    return (tokens + [tokenizer().end_token] * count)[:count], spans


def batch_of(views: list[View], token_count: int = 77) -> Batch:
    things = max(1, max(len(view.regions) for view in views))
    x0 = torch.stack([view.latent for view in views]).float()
    words, regions = torch.zeros(len(views), things, token_count), torch.zeros(len(views), things, *x0.shape[2:])
    named, rows = torch.zeros(len(views), things), []
    for row, view in enumerate(views):
        tokens, spans = tokenize(view.pieces, token_count)
        rows.append(tokens)
        for first, last, thing in spans:
            words[row, thing, first:last] = 1
        regions[row, : len(view.regions)] = view.regions
        named[row, : len(view.regions)] = 1
    return Batch(x0, torch.tensor(rows), words, regions, named)


class Batches(Dataset):
    """Batch `step` of a stage comes from the seed and its number alone: others can make it ahead, and a stage can go on.

    Args:
        look: makes one row.
    """

    def __init__(self, look: Callable[[np.random.Generator], View], size: int, seed: tuple[int, ...], token_count: int = 77) -> None:
        self.look, self.size, self.seed, self.token_count = look, size, seed, token_count
        tokenizer()  # before there are other processes, in which CUDA could not be started

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((*self.seed, step))
        return batch_of([self.look(rng) for _ in range(self.size)], self.token_count)


def attention_loss(layers: list[Tensor], batch: Batch, weights: Tensor) -> Tensor:
    """How far words look from the region that they name: cross-entropy over cells, mean over layers and things.

    Large checkpoints learn by themselves that words look at what they name; a model of this size leaves it to chance.

    Args:
        layers: attention to the text, [B, cells, tokens], mean over heads.
        weights: [B]; how much of each row's picture the noise leaves to see.
    """
    total = weights.new_zeros(())
    for layer in layers:
        looking = (layer @ batch.words.transpose(1, 2)).clamp(1e-4, 1 - 1e-4)
        target = F.adaptive_avg_pool2d(batch.regions, math.isqrt(layer.shape[1])).flatten(2).transpose(1, 2)
        distance = F.binary_cross_entropy(looking, target, reduction="none").mean(1)
        total = total + (distance * batch.named * weights[:, None]).sum()
    return total / len(layers) / batch.named.sum().clamp(min=1)


def predict(model: Denoiser, x: Tensor, level: Tensor, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What the denoiser says, in float32, with float32 weights; it may multiply in bfloat16."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=HALF_PRECISION):
        prediction, layers = model(x, level, tokens)
    return prediction.float(), [layer.float() for layer in layers]


def denoising_loss(model: Denoiser, batch: Batch) -> Tensor:
    """Mean squared error of the prediction, at noise levels that are evenly spread over the batch, and `attention_loss`."""
    size = len(batch.x0)
    share = (torch.arange(size, device=batch.x0.device) + torch.rand(size, device=batch.x0.device)) / size
    x, level, target, alpha = model.add_noise(batch.x0, torch.randn_like(batch.x0), share)
    prediction, layers = predict(model, x, level, batch.tokens)
    return F.mse_loss(prediction, target) + ATTENTION_WEIGHT * attention_loss(layers, batch, alpha.square())


def train(stage: Stage, batches: Batches, loss_of: Callable[[Batch], Tensor]) -> None:
    """Runs a stage to its end."""
    loader = DataLoader(batches, batch_size=None, sampler=range(stage.step, stage.steps), num_workers=WORKERS)
    for step, batch in zip(range(stage.step, stage.steps), loader, strict=True):
        if stage.finished:
            return
        torch.manual_seed(batches.seed[0] + step)
        stage.update(loss_of(batch.to(DEVICE)))
