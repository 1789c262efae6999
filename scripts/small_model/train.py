"""Trains the small text-to-image models on the drawings: a checkpoint with a UNet, and a transformer with the same text model and autoencoder.

    python3 scripts/environment/prepare.py scripts/small_model/train.py --work DIR [--minutes M] [--from CHECKPOINT] [--network transformer]

Draws pictures, trains the autoencoder, encodes the pictures, then trains text encoder and UNet together (v-prediction),
or the transformer alone (flow): first on close-ups of one object, a quarter of the work a sample, where words and shapes are learnt; then on whole pictures.
Every stage is seeded and goes on from what lies in `--work`. `--minutes` ends the training by then, with a learning rate that has
fallen; else it ends with its steps. One process; it takes a GPU if there is one.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scripts.paths import CHECKPOINT, TRANSFORMER_FILE
from scripts.small_model.autoencoder import Autoencoder
from scripts.small_model.drawings import SIZE, Item, Scene, cells, random_scene
from scripts.small_model.networks import Denoiser, TransformerDenoiser, UNetDenoiser, export_checkpoint, import_checkpoint
from scripts.training.denoising import Batches, View, denoising_loss, train
from scripts.training.encoding import encode, reconstruction_loss, to_tensor
from scripts.training.stage import DEVICE, Stage, Stopped, say, set_up

PICTURES = 5000
AUTOENCODER_STEPS, AUTOENCODER_BATCH, CROP = 900, 8, 96
CLOSE_UP_STEPS, CLOSE_UP = 3000, 16
CLOSE_UP_TOKENS = 16
"""Of a caption, which has nine at most: in a transformer each one costs as much as a patch. The padding is learnt on whole pictures."""
DIFFUSION_STEPS = 4000
BATCH = 32
HIGH_NOISE = 2.2
EMPTY_CAPTION, PARTIAL_CAPTION = 0.1, 0.25
CLOSE_UP_SHARE = 0.25
"""Of `--minutes`."""
SEED = 20240611


@functools.cache
def training_scene(index: int) -> Scene:
    """Picture `index` of the training set: none, one or two objects. Other seeds give unseen pictures."""
    rng = np.random.default_rng((SEED, index))
    return random_scene(rng, int(rng.choice(3, p=(0.06, 0.4, 0.54))))


def _drawing(index: int) -> np.ndarray:
    return training_scene(index).image()


def draw(work: Path, count: int) -> np.ndarray:
    """The training pictures, [count, H, W, 3] uint8, drawn once and memory-mapped afterwards."""
    path = work / f"pictures-{count}.npy"
    if not path.exists():
        partial = path.with_suffix(".partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, SIZE, SIZE, 3))
        with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for index, picture in enumerate(pool.map(_drawing, range(count), chunksize=32)):
                pictures[index] = picture
        pictures.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def new_autoencoder() -> Autoencoder:
    from scripts.small_model.comfyui_node import LATENT_CHANNELS

    return Autoencoder(LATENT_CHANNELS, width=24, spread=5.0, centre=0.45)


def train_autoencoder(work: Path, pictures: np.ndarray) -> Autoencoder:
    torch.manual_seed(SEED)
    model = new_autoencoder().to(DEVICE, memory_format=torch.channels_last)
    stage = Stage(work / "autoencoder.pt", model, AUTOENCODER_STEPS, 2e-3, average=0.98)
    while not stage.finished:
        rng = np.random.default_rng((SEED, 1, stage.step))
        torch.manual_seed(SEED + stage.step)
        crops = []
        for index in rng.integers(len(pictures), size=AUTOENCODER_BATCH):
            top, left = rng.integers(0, (SIZE - CROP) // 8 + 1, size=2) * 8
            crops.append(pictures[index, top : top + CROP, left : left + CROP])
        stage.update(reconstruction_loss(model, to_tensor(np.stack(crops)), noise=0.05, absolute=0.05, spread=0.01))
    model.load_state_dict(stage.mean)
    return model.eval()


def encode_all(work: Path, model: Autoencoder, pictures: np.ndarray) -> Tensor:
    """The pictures' latents, [N, 4, 32, 32]."""
    return encode(work, model, (pictures[start : start + 16] for start in range(0, len(pictures), 16)), len(pictures))


def new_denoiser(network: str = "unet", checkpoint: Path = CHECKPOINT) -> Denoiser:
    """The network to train; the transformer reads the text model of the UNet's checkpoint."""
    from scripts.small_model.comfyui_node import TRANSFORMER, UNET

    return UNetDenoiser(UNET, HIGH_NOISE) if network == "unet" else TransformerDenoiser(TRANSFORMER, checkpoint)


def named(items: list[Item], rng: np.random.Generator) -> list[Item]:
    """The objects that a caption names, in a random order; sometimes only one of them, sometimes none."""
    if rng.random() < EMPTY_CAPTION:
        return []
    items = [items[i] for i in rng.permutation(len(items))]
    return items[:1] if rng.random() < PARTIAL_CAPTION else items


def view_of(latent: Tensor, items: list[Item], left: int, top: int, side: int) -> View:
    """A square window of the latent."""
    rows, columns = slice(top, top + side), slice(left, left + side)
    regions = torch.from_numpy(np.array([cells(item, latent.shape[-1]) for item in items], np.float32).reshape(-1, *latent.shape[1:]))
    pieces = [piece for number, item in enumerate(items) for piece in (("and", None), (item.phrase, number))][1:]
    return View(latent[:, rows, columns], tuple(pieces), regions[:, rows, columns])


def whole_picture(latents: Tensor, rng: np.random.Generator) -> View:
    index = int(rng.integers(len(latents)))
    return view_of(latents[index], named(list(training_scene(index).items), rng), 0, 0, latents.shape[-1])


def close_up(latents: Tensor, rng: np.random.Generator) -> View:
    """A window that holds one object whole, with that object's words; any window of an empty scene."""
    index, side = int(rng.integers(len(latents))), latents.shape[-1]
    scene = training_scene(index)
    if not scene.items:
        left, top = rng.integers(0, side - CLOSE_UP + 1, size=2)
        return view_of(latents[index], [], left, top, CLOSE_UP)
    item = scene.items[rng.integers(len(scene.items))]
    left, top = (
        rng.integers(max(0, math.ceil((centre + item.radius) / 8) - CLOSE_UP), min(side - CLOSE_UP, int((centre - item.radius) / 8)) + 1)
        for centre in (item.x, item.y)
    )
    return view_of(latents[index], named([item], rng), left, top, CLOSE_UP)


def trained(path: Path) -> tuple[Autoencoder, dict[str, Tensor]]:
    """The autoencoder and the denoiser's weights of an exported checkpoint, to train on from."""
    return import_checkpoint(path, new_autoencoder())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures, latents and resumable state")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--close-up-steps", type=int, default=CLOSE_UP_STEPS)
    parser.add_argument("--steps", type=int, default=DIFFUSION_STEPS, help="steps on whole pictures")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--minutes", type=float, default=math.inf, help="ends by then, from its start")
    parser.add_argument("--network", choices=("unet", "transformer"), default="unet")
    parser.add_argument(
        "--from", dest="start", type=Path, help="train on from this checkpoint; the transformer takes text and latents of it"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    is_unet = arguments.network == "unet"
    start, output = arguments.start or (None if is_unet else CHECKPOINT), arguments.output or (CHECKPOINT if is_unet else TRANSFORMER_FILE)
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    set_up()
    try:
        pictures = draw(work, arguments.pictures)
        autoencoder = trained(start)[0].to(DEVICE) if start else train_autoencoder(work, pictures)
        latents = encode_all(work, autoencoder, pictures)
        say(f"latents: mean {latents.mean():.3f}, standard deviation {latents.std():.3f}")
        torch.manual_seed(SEED + 1)
        model = new_denoiser(arguments.network, start or CHECKPOINT)
        if start and is_unet:
            model.load_state_dict(trained(start)[1])
        model.to(DEVICE)
        loss_of = functools.partial(denoising_loss, model)
        if arguments.close_up_steps:
            seconds, token_count = 60 * arguments.minutes * CLOSE_UP_SHARE, 77 if is_unet else CLOSE_UP_TOKENS
            stage = Stage(work / f"{arguments.network}-close-ups.pt", model, arguments.close_up_steps, 1.2e-3, 0.995, seconds)
            train(stage, Batches(functools.partial(close_up, latents), arguments.batch, (SEED, 2), token_count), loss_of)
            model.load_state_dict(stage.mean)
        stage = Stage(work / f"{arguments.network}.pt", model, arguments.steps, 1.2e-3, 0.995, deadline - time.monotonic())
        train(stage, Batches(functools.partial(whole_picture, latents), arguments.batch, (SEED, 3)), loss_of)
        export_checkpoint(output, stage.mean, autoencoder if is_unet else None, {"trained_by": "scripts/small_model/train.py"})
        say(f"wrote {output}: {output.stat().st_size / 1e6:.1f} MB")
    except Stopped:
        say("stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
