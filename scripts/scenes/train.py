"""Trains the small text-to-image models on the scenes: a checkpoint with a UNet, and a transformer beside it.

    python3 scripts/environment/prepare.py scripts/scenes/train.py [--work DIR] [--minutes M] [--from CHECKPOINT] [--network transformer]

Draws scenes and trains the autoencoder beside it, encodes the scenes, then trains word embeddings and UNet together: first on close-ups
of one object, where words and shapes are learnt at less than half the cost; then on whole scenes. The same command goes on from what
lies in `--work`, the optimisers' state with it. `--minutes` ends the training by then, with a learning rate that has fallen; else it
ends with its steps. One process; it takes a GPU if there is one. To train where nothing can be set up, name a ComfyUI yourself:
`PYTHONPATH=/path/to/ComfyUI:. python3 scripts/scenes/train.py`.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scripts.scenes.fetch import cache, fetch
from scripts.scenes.rooms import SIZE
from scripts.scenes.scenes import Caption, Layers, Scene, random_caption, random_scene
from scripts.small_model.autoencoder import Autoencoder
from scripts.small_model.networks import Denoiser, TransformerDenoiser, UNetDenoiser, export_checkpoint, import_checkpoint
from scripts.training.denoising import Batches, View, denoising_loss, train
from scripts.training.encoding import encode, reconstruction_loss, to_tensor
from scripts.training.stage import DEVICE, Stage, Stopped, say, set_up

SCENES, CHUNK = 16000, 125
"""Scenes to train on, and how many are drawn and kept together."""
POOL = 2000
"""Scenes whose pixels the autoencoder is trained on."""
AUTOENCODER_STEPS, AUTOENCODER_BATCH, CROP = 5000, 8, 64
CLOSE_UP_STEPS, CLOSE_UP = 3000, 20
STEPS = 9000
BATCH = 24
HIGH_NOISE = 1.8
EMPTY_CAPTION = 0.1
COUNTS = (0.07, 0.28, 0.43, 0.22)
"""Shares of scenes with 0, 1, 2 and 3 objects. A model that never saw an empty table puts something else where a thing is removed."""
MOST_ITEMS = 3
SIDE = SIZE // 8
SEED = 20250117
AUTOENCODER_SHARE, CLOSE_UP_SHARE = 0.15, 0.2
"""Of `--minutes`."""
CHECKPOINT = "scenes.safetensors"
NETWORKS = ("unet", "transformer")
METADATA = {
    "trained_by": "scripts/scenes/train.py",
    "trained_on": "composites of Microsoft's Fluent Emoji in 3D, MIT License, Copyright (c) Microsoft Corporation",
}


@functools.cache
def training_scene(index: int) -> Scene:
    """Scene `index` of the training set. Other seeds give unseen scenes."""
    rng = np.random.default_rng((SEED, index))
    return random_scene(rng, int(rng.choice(len(COUNTS), p=COUNTS)))


def images_file(work: Path, number: int) -> Path:
    return work / "drawn" / f"images-{number:03d}.npy"


def regions_file(work: Path, number: int) -> Path:
    return work / "drawn" / f"regions-{number:03d}.npy"


def draw_chunk(work: Path, number: int) -> None:
    """The pixels of some scenes, [CHUNK, SIZE, SIZE, 3] uint8, and their `regions_of`, [CHUNK, ...]; drawn once."""
    file = images_file(work, number)
    if not file.exists():
        layers = [training_scene(index).draw() for index in range(number * CHUNK, (number + 1) * CHUNK)]
        np.save(regions_file(work, number), np.stack([regions_of(layer) for layer in layers]))
        np.save(file.with_suffix(".partial.npy"), np.stack([layer.image for layer in layers]))
        file.with_suffix(".partial.npy").rename(file)


def regions_of(layers: Layers) -> np.ndarray:
    """Share of each latent cell that each object without its accessory covers, then each accessory, [2 * MOST_ITEMS, SIDE, SIDE] uint8."""
    planes = np.zeros((2 * MOST_ITEMS, SIDE, SIDE), np.float32)
    for number, (visible, accessory) in enumerate(zip(layers.objects, layers.accessories, strict=True)):
        for place, plane in ((number, visible - accessory), (MOST_ITEMS + number, accessory)):
            planes[place] = plane.reshape(SIDE, 8, SIDE, 8).mean((1, 3))
    return (planes.clip(0, 1) * 255).round().astype(np.uint8)


def corner_of_crop(scene: Scene, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a square of the image; mostly around an object, where the detail is."""
    if scene.items and rng.random() < 0.65:
        item = scene.items[rng.integers(len(scene.items))]
        middle = np.array([item.base - item.size / 2, item.x]) + rng.uniform(-0.6, 0.6, 2) * item.size
        top, left = ((middle - CROP / 2).clip(0, SIZE - CROP) / 8).round().astype(int) * 8
    else:
        top, left = rng.integers(0, (SIZE - CROP) // 8 + 1, size=2) * 8
    return int(top), int(left)


def new_autoencoder() -> Autoencoder:
    from scripts.small_model.comfyui_node import SCENES_LATENT_CHANNELS

    return Autoencoder(SCENES_LATENT_CHANNELS, width=64, spread=4.0, centre=0.55)


def train_autoencoder(work: Path, images: np.ndarray, steps: int, batch: int, seconds: float) -> Autoencoder:
    torch.manual_seed(SEED)
    model = new_autoencoder().to(DEVICE, memory_format=torch.channels_last)
    stage = Stage(work / "autoencoder.pt", model, steps, 2e-3, average=0.995, seconds=seconds)
    while not stage.finished:
        rng = np.random.default_rng((SEED, 1, stage.step))
        torch.manual_seed(SEED + stage.step)
        crops = []
        for index in rng.integers(len(images), size=batch):
            top, left = corner_of_crop(training_scene(int(index)), rng)
            crops.append(images[index, top : top + CROP, left : left + CROP])
        stage.update(reconstruction_loss(model, to_tensor(np.stack(crops)), noise=0.03, absolute=0.02, spread=0.002))
    model.load_state_dict(stage.mean)
    say(f"autoencoder: {autoencoder_psnr(model):.2f} dB on unseen scenes")
    return model.eval()


@torch.no_grad()
def autoencoder_psnr(model: Autoencoder, count: int = 12) -> float:
    """Mean PSNR in dB over a few unseen scenes."""
    values = []
    for index in range(count):
        image = to_tensor(random_scene(np.random.default_rng((SEED, 9, index))).draw().image[None])
        values.append(-10 * (model.decode(model.encode(image)).clamp(0, 1) - image).square().mean().log10().item())
    return float(np.mean(values))


def encode_all(work: Path, model: Autoencoder, chunks: int) -> tuple[Tensor, Tensor]:
    """Every scene's latent, [N, channels, SIDE, SIDE], and its regions, [N, 2 * MOST_ITEMS, SIDE, SIDE] uint8."""
    parts = (part for number in range(chunks) for part in np.array_split(np.load(images_file(work, number), mmap_mode="r"), 5))
    regions = np.concatenate([np.load(regions_file(work, number)) for number in range(chunks)])
    return encode(work, model, parts, chunks * CHUNK), torch.from_numpy(regions)


class Latents:
    """The encoded scenes, as a training looks at them."""

    def __init__(self, latents: Tensor, regions: Tensor) -> None:
        self.latents, self.regions = latents, regions

    def _view(self, index: int, caption: Caption, left: int, top: int, side: int) -> View:
        """A square window."""
        shares = self.regions[index].float() / 255
        beside = (1 - shares.sum(0)).clamp(0, 1)
        below = ((torch.arange(SIDE) + 1) * 8 - training_scene(index).room.horizon).div(8).clamp(0, 1)[:, None]
        places = {("object", i): shares[i] for i in range(MOST_ITEMS)}
        places |= {("accessory", i): shares[MOST_ITEMS + i] for i in range(MOST_ITEMS)}
        places |= {("floor", 0): below * beside, ("wall", 0): (1 - below) * beside}
        targets = list(dict.fromkeys(target for _, target in caption.pieces if target is not None))
        pieces = tuple((words, None if target is None else targets.index(target)) for words, target in caption.pieces)
        window = slice(top, top + side), slice(left, left + side)
        regions = torch.stack([places[target] for target in targets]) if targets else torch.zeros(0, SIDE, SIDE)
        return View(self.latents[index, :, window[0], window[1]], pieces, regions[:, window[0], window[1]])

    def whole(self, rng: np.random.Generator) -> View:
        index = int(rng.integers(len(self.latents)))
        caption = Caption(()) if rng.random() < EMPTY_CAPTION else random_caption(training_scene(index), rng)
        return self._view(index, caption, 0, 0, SIDE)

    def close_up(self, rng: np.random.Generator) -> View:
        """A window around one object, with that object's words."""
        while not (scene := training_scene(index := int(rng.integers(len(self.latents))))).items:
            pass
        item = int(rng.integers(len(scene.items)))
        caption = Caption(()) if rng.random() < EMPTY_CAPTION else random_caption(scene, rng, [item])
        covered = (self.regions[index, item].float() + self.regions[index, MOST_ITEMS + item].float()) > 12
        corners = []
        for axis in (1, 0):
            cells = covered.any(1 - axis).nonzero()
            first, last = (int(cells[0]), int(cells[-1]) + 1) if len(cells) else (SIDE // 2, SIDE // 2)
            low, high = max(0, min(SIDE - CLOSE_UP, last - CLOSE_UP)), min(SIDE - CLOSE_UP, first)
            corners.append(int(rng.integers(low, high + 1)) if high >= low else min(low, SIDE - CLOSE_UP))
        return self._view(index, caption, corners[0], corners[1], CLOSE_UP)


def new_denoiser(kind: str, checkpoint: Path) -> Denoiser:
    """One of NETWORKS to train; the transformer reads the text model of the UNet's checkpoint."""
    from scripts.small_model.comfyui_node import SCENES_TRANSFORMER, SCENES_UNET

    return UNetDenoiser(SCENES_UNET, HIGH_NOISE) if kind == "unet" else TransformerDenoiser(SCENES_TRANSFORMER, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=cache() / "training", help="folder for images, latents and resumable state")
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"to train on, in chunks of {CHUNK}")
    parser.add_argument("--autoencoder-steps", type=int, default=AUTOENCODER_STEPS)
    parser.add_argument("--close-up-steps", type=int, default=CLOSE_UP_STEPS)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps on whole scenes")
    parser.add_argument("--batch", type=int, default=BATCH, help="a GPU wants ten times as many")
    parser.add_argument("--minutes", type=float, default=math.inf, help="ends by then, from its start")
    parser.add_argument("--compile", action="store_true", help="compile the network: 1.3 times as fast on a CPU; needs a compiler")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that draw")
    parser.add_argument("--from", dest="start", type=Path, help="train on from this checkpoint, with its autoencoder")
    parser.add_argument("--network", choices=NETWORKS, default="unet", help="the transformer needs the finished checkpoint of the UNet")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    work = arguments.work.resolve()
    (work / "drawn").mkdir(parents=True, exist_ok=True)
    set_up()
    fetch()
    pool = ProcessPoolExecutor(arguments.workers)
    chunks: list[Future[None]] = [pool.submit(draw_chunk, work, number) for number in range(arguments.scenes // CHUNK)]
    try:
        for chunk in chunks[: POOL // CHUNK]:
            chunk.result()
        images = np.concatenate([np.load(images_file(work, number)) for number in range(min(len(chunks), POOL // CHUNK))])
        say(f"drawn: {len(images)} of {len(chunks) * CHUNK} scenes")
        seconds = 60 * arguments.minutes * AUTOENCODER_SHARE
        if arguments.start:
            autoencoder, weights = import_checkpoint(arguments.start, new_autoencoder())
            autoencoder.to(DEVICE)
        else:
            autoencoder, weights = train_autoencoder(work, images, arguments.autoencoder_steps, arguments.batch, seconds), {}
        for chunk in chunks:
            chunk.result()
        latents = Latents(*encode_all(work, autoencoder, len(chunks)))

        torch.manual_seed(SEED + 1)
        model = new_denoiser(arguments.network, work / CHECKPOINT).to(DEVICE)
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
        say(f"{arguments.network} on {DEVICE}; parameters: {json.dumps(sizes)}")
        is_unet = arguments.network == "unet"
        stem = "" if is_unet else "transformer-"
        if is_unet and weights:
            model.load_state_dict(weights)
        if arguments.compile:
            model.network.compile()
        loss_of = functools.partial(denoising_loss, model)
        if arguments.close_up_steps:
            seconds = 60 * arguments.minutes * CLOSE_UP_SHARE
            stage = Stage(work / f"{stem}close-ups.pt", model, arguments.close_up_steps, 1e-3, average=0.998, seconds=seconds)
            train(stage, Batches(latents.close_up, arguments.batch, (SEED, 2)), loss_of)
            model.load_state_dict(stage.mean)
        stage = Stage(work / f"{stem}diffusion.pt", model, arguments.steps, 1e-3, average=0.998, seconds=deadline - time.monotonic())
        train(stage, Batches(latents.whole, arguments.batch, (SEED, 3)), loss_of)
        output = work / (CHECKPOINT if is_unet else "scenes-transformer.safetensors")
        export_checkpoint(output, stage.mean, autoencoder if is_unet else None, METADATA)
        say(f"wrote {output}: {output.stat().st_size / 1e6:.1f} MB")
    except Stopped:
        say("stopped; the same command goes on from here")
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
