"""What is measured: each job by the pack's nodes, by diffusers' pipeline, and as the bare network calls that the nodes made."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scripts.host import in_comfy

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .subjects import DEVICE, SEED, NoPictures, Subject

TEXTS = ("glasses", "a red apple", "cherry blossom", "snow", "a green circle", "a lamp", "long hair", "a blue square")
SKIP, SCALE, THRESHOLD = 0.15, 7.0, 0.9

CELLS = ((0.8, 0.9, 0.95), (4.0, 7.0, 10.0))
"""Thresholds and scales of a sweep of nine."""


@dataclass
class Ours:
    """The pack's nodes on one subject; `sizes` collects how many rows each network call had."""

    subject: Subject
    steps: int
    warmup: int
    sizes: list[int] = field(default_factory=list)
    inversion: Any = None

    def __post_init__(self) -> None:
        self.model = self.subject.model.clone()
        self.model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "bench", self._count)
        self.sigmas = in_comfy.run("LEDITS_Schedule", model=self.model, steps=self.steps, skip=SKIP)[0]
        self.negative = self.subject.encode("")

    def invert(self) -> None:
        self.inversion = in_comfy.run(
            "LEDITS_Invert", model=self.model, latent=self.subject.latent, sigmas=self.sigmas, negative=self.negative, seed=SEED
        )[0]

    def concepts(self, texts: Sequence[str]) -> tuple:
        chain: tuple = ()
        for text in texts:
            chain = in_comfy.run("LEDITS_Concept", clip=self.subject.clip, text=text, warmup=self.warmup, concepts=chain)[0]
        return chain

    def edit(self, concepts: tuple) -> tuple[Any, ...]:
        return in_comfy.run("LEDITS_Edit", model=self.model, inversion=self.inversion, concepts=concepts)

    def sweep(self, concepts: tuple) -> None:
        thresholds, scales = (", ".join(map(str, values)) for values in CELLS)
        inputs = {"inversion": self.inversion, "concepts": concepts, "vae": NoPictures, "columns": "scale", "column_values": scales}
        in_comfy.run("LEDITS_Sweep", model=self.model, rows="threshold", row_values=thresholds, **inputs)

    def probe(self) -> Any:
        return in_comfy.run("LEDITS_ProbeAttention", model=self.model, latent=self.subject.latent, clip=self.subject.clip, text=TEXTS[0])[0]

    def _count(self, executor: Any, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        self.sizes.append(len(x))
        return executor(x, *arguments, **options)


@dataclass
class Diffusers:
    """The reference pipeline with the same settings; `sizes` as in `Ours`."""

    subject: Subject
    steps: int
    warmup: int
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = self.subject.pipeline()
        self._counting = self.pipeline.unet.register_forward_pre_hook(lambda network, inputs: self.sizes.append(len(inputs[0])))

    @torch.inference_mode()
    def invert(self) -> None:
        self.pipeline.invert_latents(self.subject.latents.to(self.pipeline.unet.dtype), self.steps, SKIP, SEED)

    @torch.inference_mode()
    def edit(self, texts: Sequence[str], threshold: float = THRESHOLD, scale: float = SCALE) -> None:
        every = len(texts)
        self.pipeline.edit_latents(texts, [False] * every, [scale] * every, [threshold] * every, [self.warmup] * every)

    def close(self) -> None:
        self._counting.remove()


class Bare:
    """The network of ComfyUI, called directly on tensors that lie ready, with the attention that ComfyUI was started with."""

    def __init__(self, subject: Subject):
        self.network = subject.model.model.diffusion_model
        dtype, config = subject.model.model.get_dtype(), subject.model.model.model_config.unet_config
        self.x, self.context = subject.latents.to(dtype), subject.encode("")[0][0].to(DEVICE, dtype)
        vector = config.get("adm_in_channels")
        self.vector = None if vector is None else torch.zeros(1, vector, dtype=dtype, device=DEVICE)

    @torch.inference_mode()
    def call(self, rows: int) -> None:
        vector = {} if self.vector is None else {"y": self.vector.expand(rows, -1)}
        level = torch.full((rows,), 500.0, device=DEVICE)
        self.network(self.x.repeat(rows, 1, 1, 1), level, context=self.context.repeat(rows, 1, 1), transformer_options={}, **vector)


@contextmanager
def capture_timed(seconds: Callable[[Callable[[], None]], float]) -> Iterator[list[float]]:
    """Times every layer that is recorded."""
    call = importlib.import_module(f"{in_comfy.pack().__name__}.nodes.comfyui.attention.rows").RecordedCall
    add_layer, found = call.add_layer, []

    def timed(self: Any, *arguments: Any) -> None:
        found.append(seconds(lambda: add_layer(self, *arguments)))

    call.add_layer = timed
    try:
        yield found
    finally:
        call.add_layer = add_layer
