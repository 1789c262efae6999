"""Trains the small text-to-image models on the scenes: a checkpoint with a UNet, and a transformer beside it.

    python3 scripts/environment/prepare.py scripts/scenes/train.py [--work DIR] [--steps N] [--network transformer]

Draws scenes, trains the autoencoder, encodes the scenes, then trains word embeddings and UNet together: first on close-ups of one
object, where words and shapes are learnt at less than half the cost; then on whole scenes. The same command resumes every stage from
`--work`, which holds the state of the optimisers, too; the checkpoint so far is written there every half hour. The learning rate falls
in the last quarter of each stage's steps: to finish earlier, stop and start with a smaller `--steps`. One process; it takes a GPU if
there is one. To train where nothing can be set up, name a ComfyUI yourself: `PYTHONPATH=/path/to/ComfyUI:. python3
scripts/scenes/train.py`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from scripts.scenes.fetch import cache, fetch
from scripts.scenes.rooms import SIZE
from scripts.scenes.scenes import Caption, Layers, Scene, Target, random_caption, random_scene
from scripts.small_model.autoencoder import Autoencoder
from scripts.small_model.networks import Denoiser, TransformerDenoiser, UNetDenoiser, export_checkpoint

POOL = 2000
"""Scenes whose pixels are kept for the autoencoder; they are also the first that are encoded."""
AUTOENCODER_STEPS, AUTOENCODER_BATCH, CROP = 5000, 8, 64
CHUNK, FIRST_CHUNKS, MOST_CHUNKS, STEPS_PER_CHUNK = 500, 6, 32, 300
"""Scenes are encoded in chunks; the training starts with a few and gets another one every so many steps."""
CLOSE_UP_STEPS, CLOSE_UP = 3000, 20
STEPS = 9000
BATCH = 24
HIGH_NOISE = 1.8
EMPTY_CAPTION = 0.1
ATTENTION_WEIGHT = 0.1
MOST_ITEMS = 3
SIDE = SIZE // 8
SEED = 20250117
CHECKPOINT = "scenes.safetensors"
NETWORKS = ("unet", "transformer")
METADATA = {
    "trained_by": "scripts/scenes/train.py",
    "trained_on": "composites of Microsoft's Fluent Emoji in 3D, MIT License, Copyright (c) Microsoft Corporation",
}
SAVE_SECONDS, EXPORT_SECONDS = 240, 1800

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Stopped(Exception):
    """A signal asked for the end; what was reached is saved."""


@functools.cache
def training_scene(index: int) -> Scene:
    """Scene `index` of the training set. Other seeds give unseen scenes."""
    return random_scene(np.random.default_rng((SEED, index)))


def say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def to_tensor(images: np.ndarray) -> Tensor:
    """[B, H, W, 3] uint8 to [B, 3, H, W] float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float().to(DEVICE) / 255


def draw_pool(work: Path) -> np.ndarray:
    """The pixels of the first scenes, [POOL, SIZE, SIZE, 3] uint8, drawn once and memory-mapped afterwards."""
    path = work / f"images-{POOL}.npy"
    if not path.exists():
        partial = path.with_suffix(".partial")
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, (POOL, SIZE, SIZE, 3))
        for index in range(POOL):
            images[index] = training_scene(index).draw().image
            if index % 250 == 0:
                say(f"drawing: {index}/{POOL}")
        images.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


class Training:
    """Optimiser, schedule, moving average and resumption of one stage."""

    def __init__(self, path: Path, module: torch.nn.Module, steps: int, rate: float, average: float):
        self.path, self.module, self.steps, self.rate, self.average = path, module, steps, rate, average
        self.optimiser = torch.optim.AdamW(module.parameters(), rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.mean = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self.step, self.losses = 0, []
        if path.exists():
            saved = torch.load(path, weights_only=True, map_location=DEVICE)
            module.load_state_dict(saved["module"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.mean, self.step = saved["mean"], saved["step"]
            say(f"{path.stem}: resumes at step {self.step}")
        self.first, self.started, self.saved = self.step, time.monotonic(), time.monotonic()
        self.stop = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        self.stop = True

    @property
    def finished(self) -> bool:
        return self.step >= self.steps

    def update(self, loss: Tensor) -> None:
        decay = max(0.0, self.step / self.steps - 0.75) / 0.25
        rate = self.rate * min(1, (self.step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, decay)))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, self.rate * 0.01)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        window = min(self.average, (1 + self.step) / (10 + self.step))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.mean[key].lerp_(value, 1 - window)
        self.losses.append(loss.item())
        if self.step % 50 == 0 or self.finished:
            pace = (time.monotonic() - self.started) / (self.step - self.first)
            left = pace * (self.steps - self.step) / 60
            say(
                f"{self.path.stem}: step {self.step}/{self.steps}, loss {np.mean(self.losses[-50:]):.5f}, {pace:.2f} s a step, {left:.0f} min left"
            )
        if self.stop or self.finished or time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()
        if self.stop:
            raise Stopped

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        state = {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict(), "mean": self.mean, "step": self.step}
        torch.save(state, partial)
        partial.rename(self.path)
        self.saved = time.monotonic()


def crop_of(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A square of the image; mostly around an object, where the detail is."""
    if rng.random() < 0.65:
        item = scene.items[rng.integers(len(scene.items))]
        middle = np.array([item.base - item.size / 2, item.x]) + rng.uniform(-0.6, 0.6, 2) * item.size
        top, left = ((middle - CROP / 2).clip(0, SIZE - CROP) / 8).round().astype(int) * 8
    else:
        top, left = rng.integers(0, (SIZE - CROP) // 8 + 1, size=2) * 8
    return image[top : top + CROP, left : left + CROP]


def train_autoencoder(work: Path, images: np.ndarray, steps: int) -> Autoencoder:
    from scripts.small_model.comfyui_node import SCENES_LATENT_CHANNELS

    torch.manual_seed(SEED)
    model = Autoencoder(SCENES_LATENT_CHANNELS, width=32, spread=4.0, centre=0.55).to(DEVICE, memory_format=torch.channels_last)
    training = Training(work / "autoencoder.pt", model, steps, 2e-3, average=0.995)
    while not training.finished:
        rng = np.random.default_rng((SEED, 1, training.step))
        crops = np.stack([crop_of(images[i], training_scene(int(i)), rng) for i in rng.integers(len(images), size=AUTOENCODER_BATCH)])
        target = to_tensor(crops).contiguous(memory_format=torch.channels_last)
        latents = model.encode(target)
        spread = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
        noise = torch.from_numpy(rng.normal(scale=0.03, size=tuple(latents.shape)).astype(np.float32)).to(DEVICE)
        error = model.decode(latents + noise) - target
        training.update(error.square().mean() + 0.02 * error.abs().mean() + 0.002 * spread)
        if training.step % 500 == 0:
            say(f"autoencoder: {autoencoder_psnr(model, training.mean):.2f} dB on unseen scenes")
    model.load_state_dict(training.mean)
    return model.eval()


@torch.no_grad()
def autoencoder_psnr(model: Autoencoder, weights: dict[str, Tensor] | None = None, count: int = 6) -> float:
    """Mean PSNR in dB over a few unseen scenes."""
    trained = copy.deepcopy(model)
    trained.load_state_dict(weights or model.state_dict())
    values = []
    for index in range(count):
        image = to_tensor(random_scene(np.random.default_rng((SEED, 9, index))).draw().image[None]).contiguous(
            memory_format=torch.channels_last
        )
        values.append(-10 * (trained.decode(trained.encode(image)).clamp(0, 1) - image).square().mean().log10().item())
    return float(np.mean(values))


def regions_of(layers: Layers) -> np.ndarray:
    """Share of each latent cell that each object without its accessory covers, then each accessory, [2 * MOST_ITEMS, SIDE, SIDE] uint8."""
    planes = np.zeros((2 * MOST_ITEMS, SIDE, SIDE), np.float32)
    for number, (visible, accessory) in enumerate(zip(layers.objects, layers.accessories, strict=True)):
        for place, plane in ((number, visible - accessory), (MOST_ITEMS + number, accessory)):
            planes[place] = plane.reshape(SIDE, 8, SIDE, 8).mean((1, 3))
    return (planes.clip(0, 1) * 255).round().astype(np.uint8)


@torch.no_grad()
def encode_chunk(work: Path, number: int, model: Autoencoder, images: np.ndarray) -> dict[str, Tensor]:
    """Latents [CHUNK, channels, SIDE, SIDE] float16 and regions [CHUNK, 2 * MOST_ITEMS, SIDE, SIDE] uint8, kept on disk."""
    path = work / "latents" / f"{number:03d}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        say(f"encoding: chunk {number}")
        latents, regions = [], []
        for start in range(number * CHUNK, (number + 1) * CHUNK, 10):
            drawn = [training_scene(index).draw() for index in range(start, start + 10)]
            batch = to_tensor(np.stack([layers.image for layers in drawn])).contiguous(memory_format=torch.channels_last)
            latents.append(model.encode(batch).half().cpu())
            regions.append(torch.from_numpy(np.stack([regions_of(layers) for layers in drawn])))
        partial = path.with_suffix(".partial")
        save_file({"latents": torch.cat(latents).contiguous(), "regions": torch.cat(regions).contiguous()}, partial)
        partial.rename(path)
    return load_file(path)


@dataclass(frozen=True)
class View:
    """What one row of a training step sees.

    Attributes:
        latent: [channels, h, w].
        caption: its words.
        regions: where the targets of its words are, [targets, h, w] in 0..1.
        targets: what each region belongs to.
    """

    latent: Tensor
    caption: Caption
    regions: Tensor
    targets: tuple[Target, ...]


Viewer = Callable[[Tensor, Tensor, Scene, np.random.Generator], View]
"""Takes a latent, its regions and its scene, returns what a training step sees of it."""


def view_of(latent: Tensor, regions: Tensor, scene: Scene, caption: Caption, left: int, top: int, side: int) -> View:
    """A square window of the latent."""
    shares = regions.float() / 255
    beside = (1 - shares.sum(0)).clamp(0, 1)
    below = ((torch.arange(SIDE) + 1) * 8 - scene.room.horizon).div(8).clamp(0, 1)[:, None]
    places = {("object", i): shares[i] for i in range(MOST_ITEMS)} | {("accessory", i): shares[MOST_ITEMS + i] for i in range(MOST_ITEMS)}
    places |= {("floor", 0): below * beside, ("wall", 0): (1 - below) * beside}
    targets = tuple(dict.fromkeys(target for _, target in caption.pieces if target is not None))
    window = slice(top, top + side), slice(left, left + side)
    stack = torch.stack([places[target] for target in targets]) if targets else torch.zeros(0, SIDE, SIDE)
    return View(latent.float()[:, window[0], window[1]], caption, stack[:, window[0], window[1]], targets)


def whole_scene(latent: Tensor, regions: Tensor, scene: Scene, rng: np.random.Generator) -> View:
    caption = Caption(()) if rng.random() < EMPTY_CAPTION else random_caption(scene, rng)
    return view_of(latent, regions, scene, caption, 0, 0, SIDE)


def close_up(latent: Tensor, regions: Tensor, scene: Scene, rng: np.random.Generator) -> View:
    """A window around one object, with that object's words."""
    index = int(rng.integers(len(scene.items)))
    caption = Caption(()) if rng.random() < EMPTY_CAPTION else random_caption(scene, rng, [index])
    covered = (regions[index].float() + regions[MOST_ITEMS + index].float()) > 12
    corners = []
    for axis in (1, 0):
        cells = covered.any(1 - axis).nonzero()
        first, last = (int(cells[0]), int(cells[-1]) + 1) if len(cells) else (SIDE // 2, SIDE // 2)
        low, high = max(0, min(SIDE - CLOSE_UP, last - CLOSE_UP)), min(SIDE - CLOSE_UP, first)
        corners.append(int(rng.integers(low, high + 1)) if high >= low else min(low, SIDE - CLOSE_UP))
    return view_of(latent, regions, scene, caption, corners[0], corners[1], CLOSE_UP)


def tokenize(tokenizer, caption: Caption) -> tuple[list[int], list[tuple[int, int, Target]]]:
    """The caption's tokens as ComfyUI makes them, and for each piece that names something its first and last index, without the article."""
    tokens = [token for token, _ in tokenizer.tokenize_with_weights(caption.text)[0]]
    spans, position = [], 1  # after the start token
    for words, target in caption.pieces:
        length = count_tokens(tokenizer, words)
        if target is not None:
            article = words.startswith(("a ", "an "))
            spans.append((position + article, position + length, target))
        position += length
    return tokens, spans


_LENGTHS: dict[str, int] = {}


def count_tokens(tokenizer, words: str) -> int:
    if words not in _LENGTHS:
        # Without start and end: the padding is the end token again.
        tokens = [token for token, _ in tokenizer.tokenize_with_weights(words)[0]]
        _LENGTHS[words] = tokens.index(tokenizer.end_token) - 1
    return _LENGTHS[words]


def attention_loss(layers: list[Tensor], views: list[View], spans: list[list[tuple[int, int, Target]]], weights: Tensor) -> Tensor:
    """How far words look from the region that they name: cross-entropy over cells, mean over layers and names.

    Large checkpoints learn by themselves that words look at what they name; a model of this size leaves it to chance.

    Args:
        layers: cross-attention probabilities, [B, cells, tokens], mean over heads.
        weights: [B]; how much of each row's image the noise leaves to see.
    """
    most = max(1, max(len(view.targets) for view in views))
    side = views[0].latent.shape[-1]
    words = torch.zeros(len(views), most, layers[0].shape[-1])
    regions = torch.zeros(len(views), most, side, side)
    named = torch.zeros(len(views), most)
    for row, (view, found) in enumerate(zip(views, spans, strict=True)):
        for first, last, target in found:
            words[row, view.targets.index(target), first:last] = 1
        regions[row, : len(view.targets)] = view.regions
        named[row, : len(view.targets)] = 1
    words, regions, named = words.to(DEVICE), regions.to(DEVICE), named.to(DEVICE) * weights[:, None]
    total = weights.new_zeros(())
    for layer in layers:
        looking = (layer @ words.transpose(1, 2)).clamp(1e-4, 1 - 1e-4)
        target = F.adaptive_avg_pool2d(regions, math.isqrt(layer.shape[1])).flatten(2).transpose(1, 2)
        total = total + (F.binary_cross_entropy(looking, target, reduction="none").mean(1) * named).sum()
    return total / len(layers) / max(1.0, float((named > 0).sum()))


class Latents:
    """The encoded scenes so far; grows with the training's steps."""

    def __init__(self, work: Path, model: Autoencoder, images: np.ndarray):
        self._encode = lambda number: encode_chunk(work, number, model, images)
        self.chunks: list[dict[str, Tensor]] = []

    def grow(self, steps: int) -> int:
        """The number of scenes at this step; the same whenever the training was interrupted."""
        count = min(MOST_CHUNKS, FIRST_CHUNKS + steps // STEPS_PER_CHUNK)
        while len(self.chunks) < count:
            self.chunks.append(self._encode(len(self.chunks)))
        return count * CHUNK

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        chunk = self.chunks[index // CHUNK]
        return chunk["latents"][index % CHUNK], chunk["regions"][index % CHUNK]


def train_diffusion(
    path: Path, model: Denoiser, latents: Latents, look: Viewer, steps: int, seen: int, export: Callable[[dict[str, Tensor]], None]
) -> Training:
    """Trains one stage; `seen` is the number of steps of the stages before."""
    from comfy.sd1_clip import SDTokenizer

    tokenizer = SDTokenizer()
    training = Training(path, model, steps, 1.0e-3, average=0.998)
    exported = time.monotonic()
    while not training.finished:
        available = latents.grow(seen + training.step)
        rng = np.random.default_rng((SEED, 2, seen, training.step))
        generator = torch.Generator().manual_seed(SEED + seen + training.step)
        views = []
        for index, own in rng.integers((available, 2**62), size=(BATCH, 2)):
            views.append(look(*latents[int(index)], training_scene(int(index)), np.random.default_rng(own)))
        x0 = torch.stack([view.latent for view in views]).to(DEVICE)
        words = [tokenize(tokenizer, view.caption) for view in views]
        tokens = torch.tensor([row for row, _ in words], device=DEVICE)
        share = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH  # evenly spread over the batch
        noise = torch.randn(x0.shape, generator=generator).to(DEVICE)
        x, level, target, alpha = model.add_noise(x0, noise, share.to(DEVICE))
        prediction, layers = model(x, level, tokens)
        attention = attention_loss(layers, views, [spans for _, spans in words], alpha.square())
        training.update(F.mse_loss(prediction, target) + ATTENTION_WEIGHT * attention)
        if time.monotonic() - exported > EXPORT_SECONDS or training.finished:
            export(training.mean)
            exported = time.monotonic()
    return training


def new_denoiser(kind: str, checkpoint: Path) -> Denoiser:
    """One of NETWORKS to train; the transformer reads the text model of the UNet's checkpoint."""
    from scripts.small_model.comfyui_node import SCENES_TRANSFORMER, SCENES_UNET

    return UNetDenoiser(SCENES_UNET, HIGH_NOISE) if kind == "unet" else TransformerDenoiser(SCENES_TRANSFORMER, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=cache() / "training", help="folder for images, latents and resumable state")
    parser.add_argument("--autoencoder-steps", type=int, default=AUTOENCODER_STEPS)
    parser.add_argument("--close-up-steps", type=int, default=CLOSE_UP_STEPS)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps on whole scenes")
    parser.add_argument("--network", choices=NETWORKS, default="unet", help="the transformer needs the finished checkpoint of the UNet")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    import comfy.cli_args

    comfy.cli_args.args.cpu = DEVICE.type == "cpu"
    fetch()
    try:
        images = draw_pool(work)
        autoencoder = train_autoencoder(work, images, arguments.autoencoder_steps)
        latents = Latents(work, autoencoder, images)
        torch.manual_seed(SEED + 1)
        model = new_denoiser(arguments.network, work / CHECKPOINT).to(DEVICE)
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
        say(f"{arguments.network} on {DEVICE}; parameters: {json.dumps(sizes)}")
        is_unet = arguments.network == "unet"
        output, stem = work / (CHECKPOINT if is_unet else "scenes-transformer.safetensors"), "" if is_unet else "transformer-"

        def export(mean: dict[str, Tensor]) -> None:
            export_checkpoint(output, mean, autoencoder if is_unet else None, METADATA)
            say(f"wrote {output}: {output.stat().st_size / 1e6:.1f} MB")

        if arguments.close_up_steps:
            close_ups = train_diffusion(work / f"{stem}close-ups.pt", model, latents, close_up, arguments.close_up_steps, 0, export)
            model.load_state_dict(close_ups.mean)
        whole = train_diffusion(
            work / f"{stem}diffusion.pt", model, latents, whole_scene, arguments.steps, arguments.close_up_steps, export
        )
        export(whole.mean)
    except Stopped:
        say("stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
