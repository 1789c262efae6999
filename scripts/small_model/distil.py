"""Distils a few-step UNet from the small checkpoint: at 4 steps, with the guidance inside it.

    python3 scripts/environment/prepare.py scripts/small_model/distil.py --work DIR [--minutes M]

From a noised picture at any level the teacher follows its own path to the end, with classifier-free guidance; the student learns to
jump there at once, as a consistency model does. Half of the captions say something else of an object than the picture shows: in an edit
that is the rule, and a student that never saw it believes the picture. Words look where they looked. Only the UNet is trained; text
model and autoencoder are the checkpoint's.
"""

from __future__ import annotations

import argparse
import copy
import functools
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.paths import CHECKPOINT, FEW_STEPS_FILE
from scripts.small_model.drawings import PALETTE, SHAPES, Item
from scripts.small_model.networks import Denoiser, UNetDenoiser, export_checkpoint
from scripts.small_model.train import draw, encode_all, named, new_denoiser, trained, training_scene, view_of
from scripts.training.denoising import ATTENTION_WEIGHT, Batch, Batches, View, attention_loss, predict, tokenize, train
from scripts.training.stage import DEVICE, Stage, Stopped, say, set_up

PICTURES, STEPS, BATCH = 5000, 4000, 32
GUIDANCE = 4.0
"""The teacher's classifier-free guidance, as `measure.py` draws with it."""
STRIDE = 167
"""Timesteps that one step of the teacher's crosses: a whole path has six steps."""
LEVELS = 20
"""Of noise, which the student is taught at: evenly spaced, the noisiest first, as ComfyUI's *simple* schedule has them."""
CONTRADICTION = 0.5
"""Share of captions that contradict the picture."""
SEED = 20261127


def another(item: Item, rng: np.random.Generator) -> Item:
    """The same object in another colour or another shape."""
    if rng.random() < 0.5:
        return item.recoloured(str(rng.choice([colour for colour in PALETTE if colour != item.colour])))
    return item.reshaped(str(rng.choice([shape for shape in SHAPES if shape != item.shape])))


def contradicted_picture(latents: Tensor, rng: np.random.Generator) -> View:
    """A whole picture, and a caption that may say something else of one object."""
    index = int(rng.integers(len(latents)))
    items = named(list(training_scene(index).items), rng)
    if items and rng.random() < CONTRADICTION:
        items[0] = another(items[0], rng)  # their order is random
    return view_of(latents[index], items, 0, 0, latents.shape[-1])


def clean_from(prediction: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The picture that a v-prediction sees: x0 = alpha x - sigma v."""
    return alpha * x - sigma * prediction


@torch.no_grad()
def end_of_path(teacher: UNetDenoiser, x: Tensor, level: Tensor, tokens: Tensor, empty: Tensor) -> Tensor:
    """Where DDIM with guidance leads from here, in steps of `STRIDE` timesteps; a row that has no noise left takes no more of them.

    Args:
        level: [B] timesteps.
    """
    clean = torch.empty_like(x)
    rows = torch.arange(len(x), device=x.device)
    while len(rows):
        words, there = tokens[rows], (level - STRIDE).clamp(min=0)
        guidance = torch.where((words == empty).all(1), 1.0, GUIDANCE).view(-1, 1, 1, 1)
        both = torch.cat([words, empty.expand_as(words)])
        alpha, sigma = teacher.levels_at(level)
        worded, wordless = predict(teacher, torch.cat([x, x]), torch.cat([level, level]), both)[0].chunk(2)
        prediction = wordless + guidance * (worded - wordless)
        clean[rows], noise = clean_from(prediction, x, alpha, sigma), sigma * x + alpha * prediction
        alpha, sigma = teacher.levels_at(there)
        x = alpha * clean[rows] + sigma * noise
        rows, x, level = rows[there > 0], x[there > 0], there[there > 0]
    return clean


def distillation_loss(teacher: UNetDenoiser, student: Denoiser, empty: Tensor, batch: Batch) -> Tensor:
    level = 999 - 1000 * torch.randint(LEVELS, (len(batch.x0),), device=DEVICE) // LEVELS
    alpha, sigma = teacher.levels_at(level)
    x = alpha * batch.x0 + sigma * torch.randn_like(batch.x0)
    target = end_of_path(teacher, x, level, batch.tokens, empty)
    prediction, layers = predict(student, x, level, batch.tokens)
    distance = F.mse_loss(clean_from(prediction, x, alpha, sigma), target)
    return distance + ATTENTION_WEIGHT * attention_loss(layers, batch, alpha.flatten().square())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures, latents and resumable state")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--minutes", type=float, default=math.inf, help="of the distillation; it ends by then")
    parser.add_argument("--output", type=Path, default=FEW_STEPS_FILE)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    set_up()
    autoencoder, weights = trained(CHECKPOINT)
    latents = encode_all(work, autoencoder.to(DEVICE), draw(work, arguments.pictures))
    teacher = new_denoiser()
    teacher.load_state_dict(weights)
    teacher.to(DEVICE).eval().requires_grad_(False)
    student = copy.deepcopy(teacher)
    student.network.train().requires_grad_(True)
    empty = torch.tensor([tokenize(())[0]], device=DEVICE)
    try:
        stage = Stage(work / "few-steps.pt", student, arguments.steps, 3e-4, average=0.995, seconds=60 * arguments.minutes)
        look = functools.partial(contradicted_picture, latents)
        train(stage, Batches(look, arguments.batch, (SEED, 1)), functools.partial(distillation_loss, teacher, student, empty))
        network = {key: value for key, value in stage.mean.items() if key.startswith("network.")}
        export_checkpoint(arguments.output, network, None, {"trained_by": "scripts/small_model/distil.py"})
        say(f"wrote {arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")
    except Stopped:
        say("stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
