"""An inverted photo of one of the small transformers, its edits, and what ComfyUI itself predicts there."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.host.in_comfy import pack, run

import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from support.transformers import TRANSFORMERS, Conditioning, Transformer

STEPS = 4


def _variant(name: str, base: str, **config: Any) -> Transformer:
    of = TRANSFORMERS[name]
    return replace(of, base=base, config=of.config | config)


FAMILIES: dict[str, Transformer] = TRANSFORMERS | {
    "Flux.1 Fill": _variant("Flux.1 dev", "FluxInpaint", in_channels=96),
    "Flux.2 Klein": _variant("Flux.2", "Flux2", guidance_embed=False),
    "Hunyuan-Image 2.1 distilled": _variant("Hunyuan-Image 2.1", "HunyuanImage21", guidance_embed=True, meanflow=True),
}
KNOWN = [name for name, family in FAMILIES.items() if family.is_there]
"""Those that this ComfyUI has."""
DISTILLED = {"Flux.1 dev", "Flux.1 Fill", "Flux.2", "Hunyuan-Image 2.1 distilled"}
"""Those that take the strength of guidance as an input."""


@dataclass(frozen=True)
class Network:
    """A family with random weights."""

    family: Transformer
    model: ModelPatcher

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of its latents, of whole tokens."""
        rows, columns = max(self.family.grid, (6, 4) if self.family.patch > 2 else (10, 6))
        return rows * self.family.patch, columns * self.family.patch

    def latent(self, batch: int = 1, frames: int = 1, seed: int = 0) -> dict[str, Tensor]:
        """A LATENT of random images."""
        x0 = self.family.latent(*self.sides, batch, seed)
        return {"samples": self.model.model.process_latent_out(torch.cat([x0] * frames, 2) if frames > 1 else x0)}

    def prompt(self, seed: int, tokens: int = 9) -> Conditioning:
        return self.family.prompt(seed, tokens)

    def difference(self, one: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
        """How far two LATENTs are apart, in the network's units, where an image's variance is about 1; [B, H, W]."""
        to_network = self.model.model.process_latent_in
        return (to_network(one["samples"]) - to_network(other["samples"])).abs().flatten(1, -3).amax(1)


LAST_LAYERS = ("final_layer.linear.weight", "clf.1.weight")
"""Of a network. With all of their random output some are chaotic as no trained network is: what rounding changes in one step grows from
step to step."""


def build(name: str) -> Network:
    return Network(FAMILIES[name], calm(FAMILIES[name].model()))


def calm(model: ModelPatcher) -> ModelPatcher:
    with torch.no_grad():
        for key, parameter in model.model.diffusion_model.named_parameters():
            if key.endswith(LAST_LAYERS):
                parameter.mul_(0.05)
    return model


def module(name: str) -> Any:
    return importlib.import_module(f"{pack().__name__}.{name}")


@dataclass
class Photo:
    """Two random images, their inversion, and the conditioning of every row that the network has been asked since."""

    of: Network
    model: Any
    latent: dict[str, Tensor]
    negative: Conditioning
    inversion: Any
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent pixel."""
        return self.model.get_model_object("latent_format").spacial_downscale_ratio

    def edit(self, concepts: Any = (), **inputs: Any) -> tuple[dict[str, Tensor], Any, Tensor]:
        self.rows.clear()
        return run("LEDITS_Edit", model=self.model, inversion=self.inversion, concepts=concepts, **inputs)[:3]

    def error(self, other: dict[str, Tensor]) -> float:
        return self.of.difference(other, self.latent).max().item()


def invert(
    of: Network,
    negative: Conditioning | None = None,
    model: Any = None,
    batch: int = 1,
    noise_mask: Tensor | None = None,
    **inputs: Any,
) -> Photo:
    negative = of.prompt(1) if negative is None else negative
    rows: list[dict[str, Any]] = []
    model = watched(of.model if model is None else model, rows)
    sigmas = run("LEDITS_Schedule", model=model, steps=STEPS, skip=0.15)[0]
    latent = of.latent(batch) | ({} if noise_mask is None else {"noise_mask": noise_mask})
    inversion = run("LEDITS_Invert", model=model, latent=latent, sigmas=sigmas, negative=negative, **inputs)[0]
    return Photo(of, model, latent, negative, inversion, rows)


def watched(model: Any, rows: list[dict[str, Any]]) -> Any:
    """A clone that notes what each row of its calls is asked with."""

    def note(executor: Any, x: Tensor, t: Tensor, c_concat: Any = None, c_crossattn: Any = None, *rest: Any, **more: Any) -> Tensor:
        rows.extend({"text": c_crossattn} | {key: value for key, value in more.items() if key in ("guidance", "txt_byt5")} for _ in x)
        return executor(x, t, c_concat, c_crossattn, *rest, **more)

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "watched", note)
    return clone


def concept(conditioning: Conditioning, mask: Tensor | None = None, **settings: Any) -> tuple[Any, ...]:
    """A concept whose text is encoded already; its words are not needed without attention masks."""
    acting = module("ledits.guidance").EditSettings(**({"scale": 4.0, "threshold": 0.7, "warmup": STEPS - 1} | settings))
    return (module("nodes.comfyui.types").Concept(acting, module("ledits.prompt").Prompt("a zeppelin"), (), conditioning, mask),)


def predict(
    model: Any,
    positive: Conditioning,
    latent: dict[str, Tensor],
    x: Tensor,
    sigma: float,
    negative: Conditioning | None = None,
    cfg: float = 1.0,
) -> Tensor:
    """ComfyUI's own prediction at a state, [B, C, H, W]."""

    class Once(comfy.samplers.Sampler):
        def sample(self, guider: Any, sigmas: Tensor, arguments: dict, callback: Any, noise: Tensor, *rest: Any) -> Tensor:
            self.found = guider(x.reshape(noise.shape), sigmas[:1].expand(len(x)), **arguments)
            return self.found

    guider, once = comfy.samplers.CFGGuider(model.clone()), Once()
    guider.inner_set_conds({"positive": positive} if negative is None else {"positive": positive, "negative": negative})
    guider.set_cfg(cfg)
    samples = latent["samples"]
    with torch.inference_mode():
        guider.sample(torch.zeros_like(samples), samples, once, torch.tensor([sigma, 0.0]), disable_pbar=True)
    return once.found.flatten(1, -3)
