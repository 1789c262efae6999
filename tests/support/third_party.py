"""What other packs do inside the network, in their own way of doing it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn import functional as F


def attention_blocks(model: ModelPatcher) -> Iterator[tuple[str, int, int]]:
    """The key of every cross-attention slot of a UNet."""
    network = model.model.diffusion_model
    parts = {"input": network.input_blocks, "middle": [network.middle_block], "output": network.output_blocks}
    for part, blocks in parts.items():
        for number, block in enumerate(blocks):
            for layer in block:
                for index, _ in enumerate(getattr(layer, "transformer_blocks", ())):
                    yield part, number, index


class ImagePrompt:
    """The occupant of a slot that lets each prompt look at an image's tokens too: one image for prompts, one for negative prompts."""

    def __init__(self, seed: int):
        self.seeds = [seed]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, extra: dict[str, Any]) -> Tensor:
        heads, rows = extra["n_heads"], len(query) // len(extra["cond_or_uncond"])
        out = optimized_attention(query, key, value, heads)
        for seed in self.seeds:
            images = [torch.randn(1, 4, query.shape[-1], generator=torch.Generator().manual_seed(seed + side)) for side in range(2)]
            tokens = torch.cat([images[which].expand(rows, -1, -1) for which in extra["cond_or_uncond"]])
            out = out + 0.3 * optimized_attention(query, tokens, tokens, heads)
        return out


def image_prompt(model: ModelPatcher, seed: int = 0, of_block: bool = False) -> ModelPatcher:
    """An image prompt in every slot, under 3-tuple keys or the blocks' 2-tuple ones; refuses slots that hold anything but its own kind."""
    model = model.clone()
    for part, number, index in attention_blocks(model):
        slots = model.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
        own = (part, number) if of_block else (part, number, index)
        if own not in slots:
            model.set_model_attn2_replace(ImagePrompt(seed), *own)
        elif isinstance(slots[own], ImagePrompt):
            slots[own].seeds.append(seed)
        else:
            raise RuntimeError(f"another pack sits in {own}")
    return model


class Regions:
    """Regional prompts in the attention layers: a prompt's rows once more for each region, with that region's text.

    Args:
        texts: [1, tokens, width] of each region.
        masks: [1 + regions, H, W] where the prompt itself and each region count.
        one_prompt: made for a batch of one prompt and one negative prompt, and for no other.
    """

    def __init__(self, texts: list[Tensor], masks: Tensor, one_prompt: bool):
        self.texts, self.masks, self.one_prompt = texts, masks, one_prompt

    def on(self, model: ModelPatcher) -> ModelPatcher:
        model = model.clone()
        model.set_model_attn2_patch(self.widen)
        model.set_model_attn2_output_patch(self.merge)
        return model

    def widen(self, hidden: Tensor, context: Tensor, value: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        sides = extra["cond_or_uncond"]
        if self.one_prompt and sides.count(0) > 1:
            raise RuntimeError("more than one prompt in a batch")
        tokens = math.lcm(context.shape[1], *(text.shape[1] for text in self.texts))
        rows, contexts = [], []
        for side, own, own_context in zip(sides, hidden.chunk(len(sides)), context.chunk(len(sides)), strict=True):
            texts = [own_context] if side == 1 else [own_context, *(text.expand(len(own), -1, -1) for text in self.texts)]
            rows += [own] * len(texts)
            contexts += [text.repeat(1, tokens // text.shape[1], 1) for text in texts]
        return torch.cat(rows), torch.cat(contexts), torch.cat(contexts)

    def merge(self, out: Tensor, extra: dict[str, Any]) -> Tensor:
        sides = extra["cond_or_uncond"]
        counts = [1 if side == 1 else len(self.masks) for side in sides]
        size = extra["activations_shape"][-2:]
        masks = F.interpolate(self.masks[:, None], size=tuple(size), mode="area").flatten(2).mT
        chunks = iter(out.chunk(sum(counts)))
        merged = [next(chunks) if count == 1 else sum(next(chunks) * mask for mask in masks) for count in counts]
        return torch.cat(merged)


def more_tokens(model: ModelPatcher) -> ModelPatcher:
    """Appends tokens of its own to every context."""
    model = model.clone()

    def append(hidden: Tensor, context: Tensor, value: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        tokens = torch.randn(1, 7, context.shape[-1], generator=torch.Generator().manual_seed(3)).expand(len(context), -1, -1)
        return hidden, torch.cat([context, tokens], 1), torch.cat([value, tokens], 1)

    model.set_model_attn2_patch(append)
    return model


def softened_self_attention(model: ModelPatcher) -> ModelPatcher:
    """An attn1_patch."""
    model = model.clone()
    model.set_model_attn1_patch(lambda hidden, context, value, extra: (0.5 * hidden, context, value))
    return model


def without_self_attention(model: ModelPatcher) -> ModelPatcher:
    """An attn1_replace in every block, as perturbed attention has one."""
    model = model.clone()
    for key in attention_blocks(model):
        model.set_model_attn1_replace(lambda query, key, value, extra: value, *key)
    return model


def fading_attention(model: ModelPatcher) -> ModelPatcher:
    """Another attention function for every layer."""
    model = model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = lambda func, *args, **kwargs: 0.8 * func(*args, **kwargs)
    return model


def row_adder(prepend: bool, numbered: bool, identified: bool) -> Callable[[ModelPatcher, Any], ModelPatcher]:
    """A branch that another node carries along in every batch, before or behind the rows that were there.

    Args:
        numbered: it enters the branch among `cond_or_uncond`, under a number that a guider's third prompt has too.
        identified: and among `uuids`.
    """

    def join(own: Any, there: Any) -> Any:
        return [own, *there] if prepend else [*there, own]

    def add(model: ModelPatcher, conditioning: Any) -> ModelPatcher:
        def around(apply_model: Callable, call: dict[str, Any]) -> Tensor:
            x, c = call["input"], call["c"]
            rows = len(x) // len(call["cond_or_uncond"])
            options = dict(c["transformer_options"])
            if numbered:
                options["cond_or_uncond"] = join(2, options["cond_or_uncond"])
            if identified:
                options["uuids"] = join("third party", options["uuids"])
            text = conditioning[0][0].expand(rows, -1, -1)
            text = text.repeat(1, c["c_crossattn"].shape[1] // text.shape[1], 1)
            changed = {"c_crossattn": torch.cat(join(text, [c["c_crossattn"]])), "transformer_options": options}
            out = apply_model(
                torch.cat(join(x[:rows].flip(-1), [x])), torch.cat(join(call["timestep"][:rows], [call["timestep"]])), **(c | changed)
            )
            return out[rows:] if prepend else out[: len(x)]

        model = model.clone()
        model.set_model_unet_function_wrapper(around)
        return model

    return add


def prompt_adder(model: ModelPatcher, entries: Callable[[Tensor], list]) -> ModelPatcher:
    """Has a prompt of its own predicted before those that the guider asks for, through the hook that a guider calls for its predictions."""
    import comfy.samplers

    def ask(inputs: dict[str, Any]) -> list[Tensor]:
        conds = [entries(inputs["input"]), *inputs["conds"]]
        return comfy.samplers.calc_cond_batch(inputs["model"], conds, inputs["input"], inputs["sigma"], inputs["model_options"])[1:]

    model = model.clone()
    model.set_model_sampler_calc_cond_batch_function(ask)
    return model
