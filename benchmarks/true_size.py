"""Networks of true size with random weights on a graphics card: does the photo come back, and what does listening cost?

    LEDITS_DEVICE=cuda python3 -m benchmarks.true_size [--output FILE]

SD 3.5 Medium and Z-Image, in bfloat16, built on the card. For each: 20 steps of inversion; the replay's error from the stored path, where no
call is made, and with the network asked at every step; the time of an edit whose mask comes from attention, and of the same edit with
a mask that is given. Nothing is downloaded; random weights say nothing about pictures.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.host.in_comfy import pack, run
from scripts.host.networks import randomise

import comfy.model_patcher
import torch
from comfy import supported_models
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from benchmarks.speed.clock import seconds
from scripts.paths import RESULTS

STEPS, LATENT = 20, (1, 16, 128, 128)
REPEATS = 2
WORDS = 77
CARD = torch.device("cuda")
NETWORKS: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "SD 3.5 Medium": (
        "SD3",
        {
            "in_channels": 16, "out_channels": 16, "depth": 24, "input_size": None, "patch_size": 2, "adm_in_channels": 2048,
            "pos_embed_scaling_factor": None, "num_patches": 384 * 384, "pos_embed_max_size": 384, "qk_norm": "rms",
            "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 1536}},
            "x_block_self_attn_layers": list(range(13)),
        },
        4096, 2048,
    ),
    "Z-Image": (
        "ZImage",
        {
            "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 3840, "cap_feat_dim": 2560, "n_layers": 30,
            "n_refiner_layers": 2, "qk_norm": True, "n_heads": 30, "n_kv_heads": 30, "axes_dims": [32, 48, 48],
            "axes_lens": [1536, 512, 512], "rope_theta": 256.0, "ffn_dim_multiplier": 8.0 / 3.0, "z_image_modulation": True,
            "time_scale": 1000.0, "pad_tokens_multiple": 32,
        },
        2560, 0,
    ),
}  # fmt: skip
"""ComfyUI's class, its configuration, the width of its encodings and of its pooled ones."""


def build(base: str, config: dict[str, Any]) -> ModelPatcher:
    family = getattr(supported_models, base)(dict(config))
    family.set_inference_dtype(torch.bfloat16, None)
    model = family.get_model({}, "", device=CARD)
    network = model.diffusion_model.eval()
    randomise(network, 0, branches=0.25)
    for name, parameter in network.named_parameters():
        if name.endswith("final_layer.linear.weight"):
            parameter.data.mul_(0.05)  # else a random network is chaotic as no trained one is
    for buffer in network.buffers():
        if buffer.dim() == 3:
            buffer.normal_()  # SD3's positions, which a file would bring
    return comfy.model_patcher.ModelPatcher(model, load_device=CARD, offload_device=CARD)


def prompt(seed: int, width: int, pooled: int) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(1, WORDS, width, generator=generator)
    options: dict[str, Any] = {"pooled_output": torch.randn(1, pooled, generator=generator) if pooled else None}
    if not pooled:
        options["attention_mask"] = torch.ones(1, WORDS, dtype=torch.long)
    return [[words, options]]


def concept(conditioning: list[list[Any]], mask: Tensor | None, **settings: Any) -> tuple[Any, ...]:
    def module(name: str) -> Any:
        return importlib.import_module(f"{pack().__name__}.{name}")

    acting = module("ledits.guidance").EditSettings(**({"scale": 3.0, "threshold": 0.7, "warmup": 0} | settings))
    words = module("ledits.prompt").Prompt("a zeppelin", ("a", "zeppelin"), ((1,), (2,)), WORDS)
    return (module("nodes.comfyui.types").Concept(acting, words, (1,), conditioning, mask),)


def fastest(action: Callable[[], Any]) -> float:
    action()
    return min(seconds(action, "cuda") for _ in range(REPEATS))


def measure(name: str) -> dict[str, Any]:
    base, config, width, pooled = NETWORKS[name]
    model = build(base, config)
    negative = prompt(1, width, pooled)
    latent = {"samples": model.model.process_latent_out(torch.randn(LATENT, generator=torch.Generator().manual_seed(0)))}
    sigmas = run("LEDITS_Schedule", model=model, steps=STEPS)[0]
    invert = functools.partial(run, "LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=negative)
    inversion = invert()[0]
    invert_s = seconds(invert, "cuda")

    def edit(concepts: Any = (), **inputs: Any) -> dict[str, Tensor]:
        return run("LEDITS_Edit", model=model, inversion=inversion, concepts=concepts, **inputs)[0]

    def error(edited: dict[str, Tensor]) -> float:
        to_network = model.model.process_latent_in
        return (to_network(edited["samples"].cpu()) - to_network(latent["samples"])).abs().max().item()

    side = 8 * LATENT[-1]
    half = torch.zeros(1, side, side)
    half[..., : side // 2] = 1
    given = concept(prompt(2, width, pooled), half, mask_mode="none")
    seen = concept(prompt(2, width, pooled), None, mask_mode="attention")
    times = {kind: fastest(lambda concepts=concepts: edit(concepts)) for kind, concepts in (("given", given), ("attention", seen))}
    nowhere = concept(prompt(2, width, pooled), torch.zeros(1, side, side), mask_mode="none")
    found = {
        "parameters_in_billions": round(sum(part.numel() for part in model.model.diffusion_model.parameters()) / 1e9, 2),
        "steps": len(sigmas) - 1,
        "replay_stored": error(edit()),
        "replay_asked": error(edit(nowhere)),
        "invert_s": round(invert_s, 3),
        "edit_given_mask_s": round(times["given"], 3),
        "edit_attention_mask_s": round(times["attention"], 3),
        "listening_share": round(times["attention"] / times["given"] - 1, 4),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
    }
    torch.cuda.reset_peak_memory_stats()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "true_size.json")
    output = parser.parse_args().output
    results: dict[str, Any] = {"card": torch.cuda.get_device_name(), "networks": {}}
    for name in NETWORKS:
        results["networks"][name] = measure(name)
        print(name, json.dumps(results["networks"][name]), flush=True)
        output.write_text(json.dumps(results, indent=1) + "\n")
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
