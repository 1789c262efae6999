"""Scores the small model in the real ComfyUI and draws its contact sheets.

    make measure-scenes ARGS="--count 300"

Autoencoder: PSNR on unseen scenes. Text to image: ComfyUI's KSampler, 20 steps; does the classifier see the named objects and colours?
With the shipped checkpoint and 300 prompts the figures go to benchmarks/results/scenes.json.
`--sheets` draws only what the scenes and the seven kinds of edit look like, for which nothing needs to be trained.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scripts.paths import RESULTS, SCENES_CHECKPOINT, SCENES_CLASSIFIER
from scripts.scenes.classifier import accuracy, load_classifier, look
from scripts.scenes.fetch import fetch
from scripts.scenes.kinds import EDITS, random_edit
from scripts.scenes.scenes import Scene, full_caption, random_scene

SEED = 977
COUNT = 300
"""Prompts of each kind for the figures that the pages show."""
BATCH = 25
CFG = 4.0
TARGETS = {"object": 0.95, "colour": 0.95, "both objects": 0.85, "autoencoder dB": 32.0, "classifier": 0.98}


def unseen_scene(index: int, objects: int) -> Scene:
    return random_scene(np.random.default_rng((SEED, objects, index)), objects)


def save_sheet(path: Path, images: list[np.ndarray], columns: int) -> None:
    """Images side by side in rows of `columns`; incomplete rows are left out."""
    rows = [np.concatenate(images[start : start + columns], 1) for start in range(0, len(images) // columns * columns, columns)]
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(path)


def draw_sheets(output: Path) -> None:
    """What is trained on, and three edits of each kind: before, after, and the region that may change."""
    save_sheet(output / "scenes.png", [unseen_scene(index, 1 + index % 3).draw().image for index in range(36)], 6)
    rows = []
    for kind in EDITS:
        for index in range(3):
            truth = random_edit(kind, index).truth()
            rows += [truth.before, truth.after, np.where(truth.region[..., None], truth.after, truth.after // 4)]
    save_sheet(output / "edits.png", rows, 9)


def load_checkpoint(path: Path):
    """MODEL, CLIP and VAE, as CheckpointLoaderSimple gives them."""
    import comfy.cli_args

    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    import comfy.sd

    import scripts.small_model.comfyui_node  # noqa: F401 (teaches ComfyUI the checkpoint)

    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=True, output_clip=True)[:3]


@torch.inference_mode()
def autoencoder_psnr(vae, count: int) -> tuple[list[float], list[np.ndarray]]:
    """PSNR in dB over unseen scenes, and a few of them beside their reconstruction."""
    values, pairs = [], []
    for index in range(count):
        image = unseen_scene(50_000 + index, 1 + index % 3).draw().image
        pixels = torch.from_numpy(image).float()[None] / 255
        again = vae.decode(vae.encode(pixels)).clamp(0, 1)
        values.append(-10 * (again - pixels).square().mean().log10().item())
        if index < 12:
            pairs += [image, (again[0] * 255).round().byte().numpy()]
    return values, pairs


@torch.inference_mode()
def generate(model, clip, vae, captions: list[str], seed: int) -> np.ndarray:
    """Images of the captions, [N, H, W, 3] uint8, by the node KSampler: euler, normal, 20 steps."""
    import nodes

    def encode(texts: list[str]):
        return [[torch.cat([clip.encode_from_tokens(clip.tokenize(text)) for text in texts]), {}]]

    channels = model.model.latent_format.latent_channels
    empty = {"samples": torch.zeros(len(captions), channels, 32, 32)}
    latent = nodes.common_ksampler(model, seed, 20, CFG, "euler", "normal", encode(captions), encode([""]), empty)[0]
    return (vae.decode(latent["samples"]).clamp(0, 1) * 255).round().byte().numpy()


def score(model, clip, vae, classifier, count: int, objects: int, sheet: Path) -> dict[str, float]:
    """Shares of named objects and colours that are seen, and of images that show every named object, and the floor."""
    scenes = [unseen_scene(10_000 + index, objects) for index in range(count)]
    named = seen_objects = coloured = seen_colours = complete = floors = 0
    images: list[np.ndarray] = []
    for start in range(0, count, BATCH):
        batch = scenes[start : start + BATCH]
        drawn = generate(model, clip, vae, [full_caption(scene).text for scene in batch], SEED + start)
        images += list(drawn)
        for scene, (found, floor) in zip(batch, look(classifier, drawn), strict=True):
            floors += floor == scene.room.floor
            complete += all(item.name in found for item in scene.items)
            for item in scene.items:
                named += 1
                seen_objects += item.name in found
                if item.colour:
                    coloured += 1
                    seen_colours += item.name in found and found[item.name].colour == item.colour
        print(f"{objects} object(s): {len(images)}/{count}: objects {seen_objects}/{named}, colours {seen_colours}/{coloured}", flush=True)
    save_sheet(sheet, [image[::2, ::2] for image in images[:60]], 10)
    shares = {
        "object": seen_objects / named,
        "colour": seen_colours / max(1, coloured),
        "every_object": complete / count,
        "floor": floors / count,
    }
    return {name: round(value, 4) for name, value in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="prompts of each kind")
    parser.add_argument("--output", type=Path, default=Path("output/scenes"))
    parser.add_argument("--checkpoint", type=Path, default=SCENES_CHECKPOINT)
    parser.add_argument("--classifier", type=Path, default=SCENES_CLASSIFIER)
    parser.add_argument("--sheets", action="store_true", help="draw the sheets of the scenes and edits and stop")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    fetch()
    draw_sheets(arguments.output)
    if arguments.sheets:
        return
    classifier = load_classifier(arguments.classifier)
    model, clip, vae = load_checkpoint(arguments.checkpoint)
    values, pairs = autoencoder_psnr(vae, 60)
    save_sheet(arguments.output / "autoencoder.png", pairs, 6)
    figures: dict = {"prompts": arguments.count, "targets": TARGETS, "classifier": accuracy(classifier, arguments.count)}
    figures["autoencoder_psnr_db"] = {"mean": round(float(np.mean(values)), 2), "lowest": round(min(values), 2)}
    for number in (1, 2):
        sheet = arguments.output / f"objects_{number}.png"
        figures[f"objects_{number}"] = score(model, clip, vae, classifier, arguments.count, number, sheet)
    is_whole = arguments.count >= COUNT and arguments.checkpoint == SCENES_CHECKPOINT
    (RESULTS / "scenes.json" if is_whole else arguments.output / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
