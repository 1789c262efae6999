"""What an image shows: a small network that names the object, colour and accessory in each cell of an image, and its floor.

    python3 scripts/environment/prepare.py scripts/scenes/classifier.py [--work DIR] [--steps N]

Trained on drawn scenes, held-out objects and colours included, and blurred a little at random as generated images are. It scores the
small model and edits made with it; its own accuracy is measured on unseen scenes at the end. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.scenes.fetch import cache, fetch
from scripts.scenes.objects import ACCESSORIES, COLOURS, KINDS
from scripts.scenes.rooms import FLOORS, SIZE
from scripts.scenes.scenes import Layers, Scene, random_scene
from scripts.training.stage import DEVICE, Stage, say

NAMES = tuple(KINDS)
COLOUR_NAMES = tuple(COLOURS)
ACCESSORY_NAMES = tuple(ACCESSORIES)
FLOOR_NAMES = tuple(FLOORS)
CELLS = 16
"""Side of the grid of cells."""
FEWEST_CELLS = 5
"""An object of fewer cells is not one; the smallest that is drawn has 12."""
UNSURE = 255
POOL, STEPS, BATCH = 8000, 4000, 24
SEED = 4242


class Classifier(nn.Module):
    """Images [B, 3, SIZE, SIZE] in 0..1 to logits: names, colours, accessories per cell (class 0 is none), floors per image."""

    def __init__(self, width: int = 96):
        super().__init__()

        def layer(n_in: int, n_out: int, stride: int = 1, dilation: int = 1) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, stride, dilation, dilation, bias=False), nn.GroupNorm(8, n_out), nn.ReLU(inplace=True)
            )

        self.stem = nn.Sequential(layer(3, 24, 2), layer(24, 48, 2), layer(48, 48), layer(48, width, 2))
        self.body = nn.ModuleList(nn.Sequential(layer(width, width, 1, d), layer(width, width)) for d in (1, 2, 4))
        self.names = nn.Conv2d(width, len(NAMES) + 1, 1)
        self.colours = nn.Conv2d(width, len(COLOUR_NAMES) + 1, 1)
        self.accessories = nn.Conv2d(width, len(ACCESSORY_NAMES) + 1, 1)
        self.floors = nn.Linear(width, len(FLOOR_NAMES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(F.avg_pool2d(images, 2) * 2 - 1)
        for block in self.body:
            x = x + block(x)
        return self.names(x), self.colours(x), self.accessories(x), self.floors(x.mean((2, 3)))


@dataclass(frozen=True)
class Seen:
    """One object that an image shows.

    Attributes:
        cells: where, [CELLS, CELLS] bool.
        colour: the most frequent one; None if it keeps its own.
        accessory: what it wears.
    """

    name: str
    cells: np.ndarray
    colour: str | None
    accessory: str | None


@torch.inference_mode()
def look(model: Classifier, images: np.ndarray) -> list[tuple[dict[str, Seen], str]]:
    """For each image, [N, SIZE, SIZE, 3] uint8, its objects by name and its floor."""
    found = []
    for start in range(0, len(images), 32):
        batch = torch.tensor(images[start : start + 32]).movedim(-1, 1).float() / 255
        names, colours, accessories, floors = model(batch)
        classes = names.argmax(1).numpy()
        for row in range(len(batch)):
            objects = {}
            for number in np.unique(classes[row]):
                cells = classes[row] == number
                if number == 0 or cells.sum() < FEWEST_CELLS:
                    continue
                name, inside = NAMES[number - 1], torch.from_numpy(cells)
                colour = None
                if KINDS[name].colours:
                    # The sum over cells: shading and details cost single cells.
                    colour = COLOUR_NAMES[int(colours[row, 1:, inside].log_softmax(0).sum(1).argmax())]
                accessory = None
                if KINDS[name].eyes:
                    # Hats reach beyond the head: look at the cells around it, too.
                    around = F.max_pool2d(inside[None, None].float(), 5, 1, 2)[0, 0] > 0
                    worn = accessories[row].argmax(0)[around]
                    counts = torch.bincount(worn, minlength=len(ACCESSORY_NAMES) + 1)[1:]
                    accessory = ACCESSORY_NAMES[int(counts.argmax())] if counts.max() >= 2 else None
                objects[name] = Seen(name, cells, colour, accessory)
            found.append((objects, FLOOR_NAMES[int(floors[row].argmax())]))
    return found


@torch.inference_mode()
def share_of(model: Classifier, image: np.ndarray, region: np.ndarray, name: str, colour: str | None) -> float:
    """The share of a region's cells, [SIZE, SIZE] bool, that show this object in this colour."""
    names, colours, *_ = model(torch.tensor(image)[None].movedim(-1, 1).float() / 255)
    shown = names[0].argmax(0) == 1 + NAMES.index(name)
    if colour:
        shown &= colours[0, 1:].argmax(0) == COLOUR_NAMES.index(colour)
    step = SIZE // CELLS
    inside = torch.from_numpy(region.reshape(CELLS, step, CELLS, step).mean((1, 3)) > 0.5)
    return shown[inside].float().mean().item()


def labels_of(scene: Scene, layers: Layers) -> np.ndarray:
    """Classes of each cell, [3, CELLS, CELLS] uint8: name, colour, accessory; UNSURE at the edges and where there is no colour."""
    step = SIZE // CELLS
    labels = np.zeros((3, CELLS, CELLS), np.uint8)
    shares = layers.objects.reshape(-1, CELLS, step, CELLS, step).mean((2, 4))
    worn = layers.accessories.reshape(-1, CELLS, step, CELLS, step).mean((2, 4))
    labels[:2, shares.sum(0) > 0.08] = UNSURE
    for item, share, accessory in zip(scene.items, shares, worn, strict=True):
        inside = share > 0.45
        labels[0, inside] = 1 + NAMES.index(item.name)
        labels[1, inside] = 1 + COLOUR_NAMES.index(item.colour) if item.colour else UNSURE
        if item.accessory:
            labels[2, accessory > 0.05] = UNSURE
            labels[2, accessory > 0.35] = 1 + ACCESSORY_NAMES.index(item.accessory)
    return labels


def drawn_scene(index: int, seed: int = SEED) -> Scene:
    """Scene `index`, with held-out objects, colours and pairs among the rest."""
    return random_scene(np.random.default_rng((seed, index)), trained=False)


def _drawn(index: int) -> tuple[np.ndarray, np.ndarray, int]:
    scene = drawn_scene(index)
    layers = scene.draw()
    return layers.image, labels_of(scene, layers), FLOOR_NAMES.index(scene.room.floor)


def draw_pool(work: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images [POOL, SIZE, SIZE, 3], their cells' classes and their floors; drawn once."""
    paths = [work / f"classifier-{name}.npy" for name in ("images", "labels", "floors")]
    if not all(path.exists() for path in paths):
        images = np.lib.format.open_memmap(paths[0].with_suffix(".partial"), "w+", np.uint8, (POOL, SIZE, SIZE, 3))
        labels, floors = np.zeros((POOL, 3, CELLS, CELLS), np.uint8), np.zeros(POOL, np.int64)
        with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for index, drawn in enumerate(pool.map(_drawn, range(POOL), chunksize=50)):
                images[index], labels[index], floors[index] = drawn
                if index % 1000 == 0:
                    say(f"drawing: {index}/{POOL}")
        images.flush()
        np.save(paths[1], labels)
        np.save(paths[2], floors)
        paths[0].with_suffix(".partial").rename(paths[0])
    images, labels, floors = (np.load(path, mmap_mode="r") for path in paths)
    return images, labels, floors


def blur(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Softer and noisier at random, as generated images are."""
    if rng.random() < 0.5:
        images = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    images = images * float(rng.uniform(0.94, 1.06))
    return images + float(rng.uniform(0, 0.03)) * torch.randn_like(images)


def train(work: Path, steps: int, batch: int) -> Classifier:
    images, labels, floors = draw_pool(work)
    torch.manual_seed(SEED)
    model = Classifier().to(DEVICE)
    stage = Stage(work / "classifier.pt", model, steps, 2e-3, average=0.995)
    while not stage.finished:
        rng = np.random.default_rng((SEED, 1, stage.step))
        torch.manual_seed(SEED + stage.step)
        rows = np.sort(rng.choice(POOL, batch, replace=False))
        shown = torch.from_numpy(images[rows]).to(DEVICE).movedim(-1, 1).float() / 255
        classes = torch.from_numpy(labels[rows]).long().to(DEVICE)
        classes[classes == UNSURE] = -100
        outputs = model(blur(shown, rng))
        loss = sum(F.cross_entropy(output, classes[:, number], ignore_index=-100) for number, output in enumerate(outputs[:3]))
        stage.update(loss + 0.3 * F.cross_entropy(outputs[3], torch.from_numpy(floors[rows]).to(DEVICE)))
    model.load_state_dict(stage.mean)
    return model.cpu().eval()


def load_classifier(path: Path) -> Classifier:
    model = Classifier()
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return model.eval()


def accuracy(model: Classifier, count: int, seed: int = SEED + 1) -> dict[str, float]:
    """Shares on unseen scenes: objects found, objects found that are there, and right colours, accessories and floors."""
    found = there = right = coloured = colours = heads = worn = floors = total = 0
    for start in range(0, count, 25):
        scenes = [drawn_scene(index, seed) for index in range(start, min(count, start + 25))]
        images = np.stack([scene.draw().image for scene in scenes])
        for scene, (objects, floor) in zip(scenes, look(model, images), strict=True):
            there += len(scene.items)
            found += len(objects)
            floors += floor == scene.room.floor
            total += 1
            for item in scene.items:
                seen = objects.get(item.name)
                right += seen is not None
                if seen and item.colour:
                    coloured += 1
                    colours += seen.colour == item.colour
                if seen and KINDS[item.name].eyes:
                    heads += 1
                    worn += seen.accessory == item.accessory
    shares = {
        "objects_found": (right, there),
        "found_are_there": (right, found),
        "colours": (colours, coloured),
        "accessories": (worn, heads),
        "floors": (floors, total),
    }
    return {name: round(part / max(1, whole), 4) for name, (part, whole) in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=cache() / "training", help="folder for images and resumable state")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--count", type=int, default=300, help="unseen scenes that its accuracy is measured on")
    parser.add_argument("--output", type=Path, default=None, help="the weights; by default classifier.safetensors in --work")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    fetch()
    model = train(arguments.work, arguments.steps, arguments.batch)
    output = arguments.output or arguments.work / "classifier.safetensors"
    save_file({key: value.half().contiguous() for key, value in model.state_dict().items()}, output)
    print(json.dumps(accuracy(load_classifier(output), arguments.count)), flush=True)


if __name__ == "__main__":
    main()
