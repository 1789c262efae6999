"""Trains the small text-to-image models on the CPU: a checkpoint with a UNet, and a transformer with the same text model and autoencoder.

    python scripts/small_model/train.py --work DIR [--processes 2] [--from CHECKPOINT] [--network transformer]

Draws pictures, trains the autoencoder, encodes the pictures, then trains text encoder and UNet together (v-prediction),
or the transformer alone (flow): first on close-ups of one object, a quarter of the work a sample, where words and shapes are learnt; then on whole pictures.
The shipped checkpoint was trained on in turns (`--from`), last for 1500 steps on close-ups and 3000 on whole pictures.
Every stage is seeded and resumes from `--work`; a finished stage is not run again. Each process has one thread and its share
of every batch, which on a CPU is about twice as fast as one process with as many threads.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from scripts.paths import CHECKPOINT, TRANSFORMER_FILE
from scripts.small_model.autoencoder import Autoencoder, load_stored_state_dict
from scripts.small_model.drawings import SIZE, Item, Scene, cells, random_scene
from scripts.small_model.networks import NETWORK, TEXT, VAE, Denoiser, TransformerDenoiser, UNetDenoiser, export_checkpoint

Viewer = Callable[[Tensor, Scene, np.random.Generator], "View"]
"""Takes a latent and its scene, returns what a training step sees of it."""

PICTURES = 5000
AUTOENCODER_STEPS, AUTOENCODER_BATCH, CROP = 900, 8, 96
CLOSE_UP_STEPS, CLOSE_UP = 3000, 16
CLOSE_UP_TOKENS = 16
"""Of a caption, which has nine at most: in a transformer each one costs as much as a patch. The padding is learnt on whole pictures."""
DIFFUSION_STEPS = 4000
BATCH = 32
HIGH_NOISE = 2.2
EMPTY_CAPTION, PARTIAL_CAPTION = 0.1, 0.25
ATTENTION_WEIGHT = 0.1
SEED = 20240611


def training_scene(index: int) -> Scene:
    """Picture `index` of the training set: none, one or two objects. Other seeds give unseen pictures."""
    rng = np.random.default_rng((SEED, index))
    return random_scene(rng, int(rng.choice(3, p=(0.06, 0.4, 0.54))))


def _drawing(index: int) -> np.ndarray:
    return training_scene(index).image()


def draw(work: Path, count: int, workers: int) -> np.ndarray:
    """The training pictures, [count, H, W, 3] uint8, drawn once and memory-mapped afterwards."""
    path = work / f"pictures-{count}.npy"
    if not path.exists():
        partial = path.with_suffix(".partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, SIZE, SIZE, 3))
        with ProcessPoolExecutor(workers) as pool:
            for index, picture in enumerate(pool.map(_drawing, range(count), chunksize=32)):
                pictures[index] = picture
        pictures.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def to_tensor(pictures: np.ndarray) -> Tensor:
    """[B, H, W, 3] uint8 to [B, 3, H, W] float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float() / 255


def is_first() -> bool:
    """Whether this process is the one that reports and saves."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def average_gradients(module: torch.nn.Module) -> None:
    """The mean over all processes, so that each takes the same step."""
    if distributed.is_initialized():
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        vector = parameters_to_vector(gradients)
        distributed.all_reduce(vector)
        vector_to_parameters(vector / distributed.get_world_size(), gradients)


class Training:
    """Optimiser, schedule, moving average and resumption of one stage."""

    def __init__(self, path: Path, module: torch.nn.Module, steps: int, rate: float, average: float):
        self.path, self.module, self.steps, self.rate, self.average = path, module, steps, rate, average
        self.optimiser = torch.optim.AdamW(module.parameters(), rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.mean = {key: value.detach().clone() for key, value in module.state_dict().items()}
        self.step, self.losses, self.started = 0, [], time.monotonic()
        if path.exists():
            saved = torch.load(path, weights_only=True)
            module.load_state_dict(saved["module"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.mean, self.step = saved["mean"], saved["step"]
        self.first = self.step

    @property
    def finished(self) -> bool:
        return self.step >= self.steps

    def update(self, loss: Tensor) -> None:
        decay = max(0.0, self.step / self.steps - 0.4) / 0.6
        rate = self.rate * min(1, (self.step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * decay))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, self.rate * 0.01)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.module)
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        window = min(self.average, (1 + self.step) / (10 + self.step))
        for key, value in self.module.state_dict().items():
            self.mean[key].lerp_(value, 1 - window)
        self.losses.append(loss.item())
        if is_first() and (self.step % 50 == 0 or self.finished):
            pace = (time.monotonic() - self.started) / (self.step - self.first)
            print(
                f"{self.path.stem}: step {self.step}/{self.steps}, loss {np.mean(self.losses[-50:]):.5f}, {pace:.2f} s a step, "
                f"{pace * (self.steps - self.step) / 60:.0f} min left",
                flush=True,
            )
        if is_first() and (self.step % 250 == 0 or self.finished):
            self.save()

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        torch.save(
            {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict(), "mean": self.mean, "step": self.step}, partial
        )
        partial.rename(self.path)


def new_autoencoder() -> Autoencoder:
    from scripts.small_model.comfyui_node import LATENT_CHANNELS

    return Autoencoder(LATENT_CHANNELS, width=24, spread=5.0, centre=0.45)


def train_autoencoder(work: Path, pictures: np.ndarray) -> Autoencoder:
    torch.manual_seed(SEED)
    model = new_autoencoder().to(memory_format=torch.channels_last)
    training = Training(work / "autoencoder.pt", model, AUTOENCODER_STEPS, 2e-3, average=0.98)
    while not training.finished:
        rng = np.random.default_rng((SEED, 1, training.step))
        crops = []
        for index in rng.integers(len(pictures), size=AUTOENCODER_BATCH):
            top, left = rng.integers(0, (SIZE - CROP) // 8 + 1, size=2) * 8
            crops.append(pictures[index, top : top + CROP, left : left + CROP])
        target = to_tensor(np.stack(crops)).contiguous(memory_format=torch.channels_last)
        latents = model.encode(target)
        spread = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 1).square().mean()
        noise = torch.from_numpy(rng.normal(scale=0.05, size=tuple(latents.shape)).astype(np.float32))
        error = model.decode(latents + noise) - target
        training.update(error.square().mean() + 0.05 * error.abs().mean() + 0.01 * spread)
    model.load_state_dict(training.mean)
    return model.eval()


@torch.no_grad()
def encode(work: Path, model: Autoencoder, pictures: np.ndarray) -> Tensor:
    """The pictures' latents, [N, 4, 32, 32] float32, kept on disk."""
    path = work / f"latents-{len(pictures)}.safetensors"
    if not path.exists():
        batches = []
        for start in range(0, len(pictures), 16):
            batches.append(model.encode(to_tensor(pictures[start : start + 16]).contiguous(memory_format=torch.channels_last)))
            if start % 800 == 0:
                print(f"encoding: {start}/{len(pictures)}", flush=True)
        save_file({"latents": torch.cat(batches).contiguous()}, path)
    return load_file(path)["latents"]


def new_denoiser(network: str = "unet", checkpoint: Path = CHECKPOINT) -> Denoiser:
    """The network to train; the transformer reads the text model of the UNet's checkpoint."""
    from scripts.small_model.comfyui_node import TRANSFORMER, UNET

    return UNetDenoiser(UNET, HIGH_NOISE) if network == "unet" else TransformerDenoiser(TRANSFORMER, checkpoint)


@dataclass(frozen=True)
class View:
    """What one row of a training step sees.

    Attributes:
        latent: [4, h, w].
        items: the objects that the caption names, in its order.
        regions: for each of them the share of each cell that it covers, [items, h, w].
    """

    latent: Tensor
    items: tuple[Item, ...]
    regions: Tensor

    @property
    def caption(self) -> str:
        return Scene(self.items, 0).caption


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
    return View(latent[:, rows, columns], tuple(items), regions[:, rows, columns])


def whole_picture(latent: Tensor, scene: Scene, rng: np.random.Generator) -> View:
    return view_of(latent, named(list(scene.items), rng), 0, 0, latent.shape[-1])


def close_up(latent: Tensor, scene: Scene, rng: np.random.Generator) -> View:
    """A window that holds one object whole, with that object's words; any window of an empty scene."""
    side = latent.shape[-1]
    if not scene.items:
        left, top = rng.integers(0, side - CLOSE_UP + 1, size=2)
        return view_of(latent, [], left, top, CLOSE_UP)
    item = scene.items[rng.integers(len(scene.items))]
    left, top = (
        rng.integers(max(0, math.ceil((centre + item.radius) / 8) - CLOSE_UP), min(side - CLOSE_UP, int((centre - item.radius) / 8)) + 1)
        for centre in (item.x, item.y)
    )
    return view_of(latent, named([item], rng), left, top, CLOSE_UP)


def attention_loss(layers: list[Tensor], views: list[View], weights: Tensor) -> Tensor:
    """How far the words of an object look from its region: cross-entropy over cells, mean over layers and objects.

    Large checkpoints learn by themselves that words look at what they name; a model of this size leaves it to chance.

    Args:
        layers: cross-attention probabilities, [B, cells, tokens], mean over heads.
        weights: [B]; how much of each row's picture the noise leaves to see.
    """
    losses = []
    for layer in layers:
        for row, view in enumerate(views):
            for place, region in enumerate(view.regions):
                first = 2 + 4 * place  # "a COLOUR SHAPE and a COLOUR SHAPE", after the start token
                looking = layer[row, :, first : first + 2].sum(-1).clamp(1e-4, 1 - 1e-4)
                target = F.adaptive_avg_pool2d(region[None], math.isqrt(len(looking))).flatten()
                losses.append(weights[row] * F.binary_cross_entropy(looking, target))
    return torch.stack(losses).mean() if losses else weights.new_zeros(())


def train_diffusion(path: Path, model: Denoiser, latents: Tensor, look: Viewer, steps: int, token_count: int | None = None) -> Training:
    from comfy.sd1_clip import SDTokenizer

    tokenizer = SDTokenizer()
    scenes = [training_scene(index) for index in range(len(latents))]
    mine = slice(distributed.get_rank(), None, distributed.get_world_size())

    training = Training(path, model, steps, 1.2e-3, average=0.995)
    while not training.finished:
        rng = np.random.default_rng((SEED, 2, training.step))
        generator = torch.Generator().manual_seed(SEED + training.step)
        rows = [(row, np.random.default_rng(seed)) for row, seed in rng.integers((len(latents), 2**63), size=(BATCH, 2))]
        views = [look(latents[row], scenes[row], own) for row, own in rows[mine]]
        x0 = torch.stack([view.latent for view in views])
        tokens = torch.tensor([[token for token, _ in tokenizer.tokenize_with_weights(view.caption)[0]][:token_count] for view in views])
        share = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH  # evenly spread over the batch
        noise = torch.randn((BATCH, *x0.shape[1:]), generator=generator)[mine]
        x, level, target, alpha = model.add_noise(x0, noise, share[mine])
        prediction, layers = model(x, level, tokens)
        training.update(F.mse_loss(prediction, target) + ATTENTION_WEIGHT * attention_loss(layers, views, alpha.square()))
    return training


def train_denoiser(
    rank: int, processes: int, work: Path, latents: Tensor, network: str, close_up_steps: int, steps: int, start: Path | None
) -> None:
    """One process of the training; what it reaches lies in `work` afterwards."""
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{work / 'meeting-point'}", rank=rank, world_size=processes)
    torch.manual_seed(SEED + 1)
    model = new_denoiser(network, start or CHECKPOINT)
    if start and network == "unet":
        model.load_state_dict(trained(start)[1])
    if close_up_steps:
        token_count = CLOSE_UP_TOKENS if network == "transformer" else None
        close_ups = train_diffusion(work / f"{network}-close-ups.pt", model, latents, close_up, close_up_steps, token_count)
        model.load_state_dict(close_ups.mean)
    train_diffusion(work / f"{network}.pt", model, latents, whole_picture, steps)
    distributed.destroy_process_group()


def trained(path: Path) -> tuple[Autoencoder, dict[str, Tensor]]:
    """The autoencoder and the denoiser's weights of an exported checkpoint, to train on from."""
    weights = load_file(path)
    stored = {key.removeprefix(VAE): value for key, value in weights.items() if key.startswith(VAE)}
    autoencoder = load_stored_state_dict(new_autoencoder(), stored)
    mean = {f"network.{key.removeprefix(NETWORK)}": value.float() for key, value in weights.items() if key.startswith(NETWORK)}
    mean |= {f"text.{key.removeprefix(TEXT)}": value.float() for key, value in weights.items() if key.startswith(TEXT)}
    return autoencoder, mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures, latents and resumable state")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--close-up-steps", type=int, default=CLOSE_UP_STEPS)
    parser.add_argument("--steps", type=int, default=DIFFUSION_STEPS, help="steps on whole pictures")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--network", choices=("unet", "transformer"), default="unet")
    parser.add_argument(
        "--from", dest="start", type=Path, help="train on from this checkpoint; the transformer takes text and latents of it"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    is_unet = arguments.network == "unet"
    start, output = arguments.start or (None if is_unet else CHECKPOINT), arguments.output or (CHECKPOINT if is_unet else TRANSFORMER_FILE)
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.processes)
    import comfy.cli_args

    comfy.cli_args.args.cpu = True

    pictures = draw(work, arguments.pictures, arguments.processes)
    autoencoder = trained(start)[0] if start else train_autoencoder(work, pictures)
    latents = encode(work, autoencoder, pictures)
    print(f"latents: mean {latents.mean():.3f}, standard deviation {latents.std():.3f}", flush=True)
    (work / "meeting-point").unlink(missing_ok=True)
    torch.multiprocessing.spawn(
        train_denoiser,
        (arguments.processes, work, latents, arguments.network, arguments.close_up_steps, arguments.steps, start),
        nprocs=arguments.processes,
    )
    mean = torch.load(work / f"{arguments.network}.pt", weights_only=True)["mean"]
    export_checkpoint(output, mean, autoencoder if is_unet else None, {"trained_by": "scripts/small_model/train.py"})
    print(f"wrote {output}: {output.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
