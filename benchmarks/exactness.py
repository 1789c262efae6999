"""How exactly a photo comes back: replay errors in latent units, ours beside diffusers', as JSON and as a Markdown table.

    make exactness

Ours are runs in which the network is asked again at every step, with a concept too weak to change a bit of float32:
without any concept nothing is evaluated and nothing could differ.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import sys
from pathlib import Path
from typing import Any

from scripts.host.in_comfy import encode, load_checkpoint, run, to_image

import torch

from benchmarks.quality.references import text_encoder, unet
from benchmarks.reference.pipeline import AsShipped, clip_tokenizer, reference_pipeline
from scripts.paths import CHECKPOINT, RESULTS
from scripts.small_model.drawings import TWO_SHAPES

STEPS = (5, 10, 20, 50)
WEIGHTS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SCHEDULES = ("official", "karras", "sgm_uniform", "simple", "beta")
BASES: dict[str, float | None] = {"empty prompt": None, "source prompt, cfg 1": 1.0, "source prompt, cfg 3.5": 3.5}
SEED = 3


def sigmas_of(model: Any, schedule: str, steps: int) -> torch.Tensor:
    if schedule == "official":
        return run("LEDITS_Schedule", model=model, steps=steps, skip=0.15)[0]
    from comfy_extras.nodes_custom_sampler import BasicScheduler

    return BasicScheduler.execute(model, schedule, steps, 0.85).result[0]


@functools.cache
def loaded(weights: str) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """MODEL and CLIP with these weights, and the photo as a LATENT."""
    model, clip, vae = load_checkpoint(CHECKPOINT, dtype=WEIGHTS[weights])
    with torch.inference_mode():
        return model, clip, {"samples": vae.encode(to_image(TWO_SHAPES.image()))}


@torch.inference_mode()
def ours(weights: str, base: str, schedule: str, steps: int) -> float:
    model, clip, latent = loaded(weights)
    source = {} if BASES[base] is None else {"positive": encode(clip, TWO_SHAPES.caption), "cfg": BASES[base]}
    inversion = run(
        "LEDITS_Invert",
        model=model,
        latent=latent,
        sigmas=sigmas_of(model, schedule, steps),
        negative=encode(clip, ""),
        seed=SEED,
        **source,
    )[0]
    idle = run("LEDITS_Concept", clip=clip, text="a green circle", scale=1e-12, mask_mode="none", warmup=0)[0]
    back = run("LEDITS_Edit", model=model, inversion=inversion, concepts=idle)[0]
    return (back["samples"] - latent["samples"]).abs().max().item()


@torch.inference_mode()
def diffusers(weights: str, base: str, steps: int) -> float | str:
    """The error, or the kind of exception it ends in."""
    pipeline = reference_pipeline(AsShipped, copy.deepcopy(unet()), copy.deepcopy(text_encoder()), clip_tokenizer(), "v_prediction")
    pipeline.to(WEIGHTS[weights])
    latents = loaded("fp32")[2]["samples"]
    source = {} if BASES[base] is None else {"source_prompt": TWO_SHAPES.caption, "source_guidance_scale": BASES[base]}
    try:
        pipeline.invert_latents(latents, steps, 0.15, SEED, **source)
        back = pipeline.edit_latents([], [], [], [], [], mask_mode="noise")
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__
    return (back.float() - latents).abs().max().item()


def table(results: dict[str, Any]) -> str:
    """Rows: weights and base; columns: steps, each ours (worst of all schedules) and diffusers'."""
    head = [f"{steps} steps: {who}" for steps in STEPS for who in ("ours", "diffusers")]
    lines = ["| weights | base | " + " | ".join(head) + " |", "|---" * (2 + len(head)) + "|"]
    for weights in results["ours"]:
        for base in BASES:
            cells = []
            for steps in STEPS:
                cells += [
                    max(results["ours"][weights][base][schedule][str(steps)] for schedule in SCHEDULES),
                    results["diffusers"][weights][base][str(steps)],
                ]
            lines.append(f"| {weights} | {base} | " + " | ".join(cell if isinstance(cell, str) else f"{cell:.0e}" for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "exactness.json")
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    arguments = parser.parse_args()
    output = arguments.output
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"ours": {}, "diffusers": {}}
    for weights in arguments.weights:
        for who in results:
            results[who][weights] = {}
        for base in BASES:
            print(f"{weights}, {base}", file=sys.stderr, flush=True)
            results["ours"][weights][base] = {
                schedule: {str(steps): ours(weights, base, schedule, steps) for steps in STEPS} for schedule in SCHEDULES
            }
            results["diffusers"][weights][base] = {str(steps): diffusers(weights, base, steps) for steps in STEPS}
            output.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
