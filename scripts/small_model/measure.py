"""Scores the small models in the real ComfyUI and draws their contact sheets.

    python scripts/small_model/measure.py [--network transformer | few-steps] [--count 200] [--file FILE] [--close-ups] [--output output/small_model]

Autoencoder: PSNR on unseen pictures. Text to picture: ComfyUI's KSampler; is the named colour there, and the named shape?
The transformer and the few-step UNet are scored with the checkpoint's text encoder and autoencoder. --close-ups judges a training that has only had those.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scripts.host.in_comfy import load_checkpoint, load_network, to_image

import numpy as np
import torch
from PIL import Image

from scripts.paths import CHECKPOINT, FEW_STEPS_FILE, TRANSFORMER_FILE
from scripts.small_model.drawings import SIZE, Scene, random_scene
from scripts.small_model.see import look
from scripts.small_model.train import CLOSE_UP, CLOSE_UP_TOKENS

SEED = 977
BATCH = 25
RECIPE, FEW_STEPS_RECIPE = (20, 4.0, "euler", "normal"), (4, 1.0, "lcm", "simple")
"""Steps, cfg, sampler and scheduler."""


def unseen_scene(index: int, objects: int) -> Scene:
    return random_scene(np.random.default_rng((SEED, objects, index)), objects)


@torch.inference_mode()
def autoencoder_psnr(vae, count: int) -> tuple[float, float]:
    """Mean and lowest PSNR in dB over unseen pictures of one and two objects."""
    values = []
    for index in range(count):
        picture = to_image(unseen_scene(index, 1 + index % 2).image())
        values.append(-10 * (vae.decode(vae.encode(picture)) - picture).square().mean().log10().item())
    return float(np.mean(values)), min(values)


@torch.inference_mode()
def draw(
    model,
    clip,
    vae,
    captions: list[str],
    seed: int,
    side: int = SIZE // 8,
    token_count: int | None = None,
    recipe: tuple[int, float, str, str] = RECIPE,
) -> np.ndarray:
    """Pictures of the captions, [N, H, W, 3] uint8, by the node KSampler.

    Args:
        recipe: steps, cfg, sampler and scheduler.
        side: of the latents.
        token_count: of each caption, where the network has not learnt the padding yet.
    """
    import nodes

    def encode(texts: list[str]):
        found = [clip.encode_from_tokens(clip.tokenize(text), return_pooled=True) for text in texts]
        words, pooled = (torch.cat(parts) for parts in zip(*found, strict=True))
        return [[words[:, :token_count], {"pooled_output": pooled}]]

    empty = {"samples": torch.zeros(len(captions), 4, side, side)}
    latent = nodes.common_ksampler(model, seed, *recipe, encode(captions), encode([""]), empty)[0]
    return (vae.decode(latent["samples"]).clamp(0, 1) * 255).round().byte().numpy()


def score(model, clip, vae, count: int, objects: int, sheet: Path, **drawing: Any) -> dict[str, float]:
    """Shares of pictures that show all named colours, and all named colours in their shapes.

    Args:
        drawing: of `draw`.
    """
    scenes = [unseen_scene(10_000 + index, objects) for index in range(count)]
    colours = shapes = 0
    pictures = []
    for start in range(0, count, BATCH):
        batch = scenes[start : start + BATCH]
        drawn = draw(model, clip, vae, [scene.caption for scene in batch], SEED + start, **drawing)
        for scene, picture in zip(batch, drawn, strict=True):
            seen = {region.colour: region.shape for region in look(picture)}
            colours += all(item.colour in seen for item in scene.items)
            shapes += all(seen.get(item.colour) == item.shape for item in scene.items)
            pictures.append(picture)
        print(f"{objects} object(s): {start + len(batch)}/{count}, colours {colours}, shapes {shapes}", flush=True)
    rows = [np.concatenate(pictures[start : start + 10], 1) for start in range(0, min(count, 60) // 10 * 10, 10)]
    if rows:
        Image.fromarray(np.concatenate(rows)[::2, ::2]).save(sheet)
    return {"colour": colours / count, "shape": shapes / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="prompts of each kind")
    parser.add_argument("--output", type=Path, default=Path("output/small_model"))
    parser.add_argument("--network", choices=("unet", "transformer", "few-steps"), default="unet")
    parser.add_argument("--file", type=Path, help="another checkpoint or transformer than the shipped one")
    parser.add_argument("--close-ups", action="store_true", help="one object in small pictures, and no padding behind the words")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.file or {"unet": CHECKPOINT, "transformer": TRANSFORMER_FILE, "few-steps": FEW_STEPS_FILE}[arguments.network]
    if not file.exists():
        parser.error(f"{file} is missing: train it first")
    model, clip, vae = load_checkpoint(file if arguments.network == "unet" else CHECKPOINT)
    if arguments.network != "unet":
        model = load_network(file)
    mean, lowest = autoencoder_psnr(vae, 40)
    figures = {"autoencoder_psnr_db": {"mean": round(mean, 2), "lowest": round(lowest, 2)}}
    drawing: dict[str, Any] = {"recipe": FEW_STEPS_RECIPE if arguments.network == "few-steps" else RECIPE}
    drawing |= {"side": CLOSE_UP, "token_count": CLOSE_UP_TOKENS} if arguments.close_ups else {}
    for n in (1,) if arguments.close_ups else (1, 2):
        figures[f"objects_{n}"] = score(model, clip, vae, arguments.count, n, arguments.output / f"objects_{n}.png", **drawing)
    (arguments.output / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
