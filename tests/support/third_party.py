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
        instead: the first of the texts stands where the prompt's own would, which nobody reads.
    """

    def __init__(self, texts: list[Tensor], masks: Tensor, one_prompt: bool = False, instead: bool = False):
        self.texts, self.masks, self.one_prompt, self.instead = texts, masks, one_prompt, instead

    def on(self, model: ModelPatcher) -> ModelPatcher:
        model = model.clone()
        model.set_model_attn2_patch(self.widen)
        model.set_model_attn2_output_patch(self.merge)
        return model

    def hooked(self, conditioning: Any) -> Any:
        """A conditioning that brings the patches along, for itself alone."""
        from comfy import hooks

        group = hooks.HookGroup()
        patches: dict[str, Any] = {"patches": {"attn2_patch": [self.widen], "attn2_output_patch": [self.merge]}}
        group.add(hooks.TransformerOptionsHook(patches, hooks.EnumHookScope.HookedOnly))
        return hooks.set_hooks_for_conditioning(conditioning, group)

    def widen(self, hidden: Tensor, context: Tensor, value: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        sides = extra["cond_or_uncond"]
        if self.one_prompt and sides.count(0) > 1:
            raise RuntimeError("more than one prompt in a batch")
        rows = [own for side, own in zip(sides, hidden.chunk(len(sides)), strict=True) for _ in range(self.copies(side))]
        return torch.cat(rows), self._with_regions(context, sides), self._with_regions(value, sides)

    def copies(self, side: int) -> int:
        """Rows that come of one."""
        return 1 if side == 1 else len(self.masks)

    def _with_regions(self, context: Tensor, sides: list[int]) -> Tensor:
        tokens = math.lcm(context.shape[1], *(text.shape[1] for text in self.texts))
        contexts = []
        for side, own in zip(sides, context.chunk(len(sides)), strict=True):
            regions = [text.expand(len(own), -1, -1) for text in self.texts]
            contexts += [own] if side == 1 else regions if self.instead else [own, *regions]
        return torch.cat([text.repeat(1, tokens // text.shape[1], 1) for text in contexts])

    def merge(self, out: Tensor, extra: dict[str, Any]) -> Tensor:
        sides = extra["cond_or_uncond"]
        counts = [self.copies(side) for side in sides]
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


def two_in_one_text(clip: Any) -> Any:
    """A text encoder whose every token is there twice: once to be looked for, and once to be read, where it may count as its opposite."""
    clip = clip.clone()
    encoder = clip.cond_stage_model.clip_l

    def encode_twice(pairs: list) -> tuple[Tensor, Tensor]:
        encoding, *rest = type(encoder).encode_token_weights(encoder, [[(token, abs(weight)) for token, weight in row] for row in pairs])
        signs = torch.tensor([math.copysign(1.0, weight) for row in pairs for _, weight in row])
        return torch.stack([encoding, encoding * signs[:, None]], 2).flatten(1, 2), *rest

    clip.patcher.add_object_patch("clip_l.encode_token_weights", encode_twice)
    return clip


def read_two_in_one(model: ModelPatcher) -> ModelPatcher:
    """A network that reads such texts."""
    model = model.clone()
    model.set_model_attn2_patch(lambda hidden, context, value, extra: (hidden, context[:, 0::2], value[:, 1::2]))
    return model


def without_precision(model: ModelPatcher) -> ModelPatcher:
    """Weaker queries, and attention called without `attn_precision`, which ComfyUI itself always gives."""
    model = model.clone()

    def drop(hidden: Tensor, context: Tensor, value: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        extra.pop("attn_precision", None)
        return 0.5 * hidden, context, value

    model.set_model_attn2_patch(drop)
    return model


def pushed_from(model: ModelPatcher, text: Tensor) -> ModelPatcher:
    """Guides away from a text in the attention layers: from the first prompt's row on, all rows are prompts."""
    model = model.clone()

    def replacement(layer: Any) -> Callable:
        with torch.inference_mode():
            away_key, away_value = layer.to_k(text), layer.to_v(text)

        def attend(query: Tensor, key: Tensor, value: Tensor, extra: dict[str, Any]) -> Tensor:
            out = optimized_attention(query, key, value, extra["n_heads"])
            sides = extra["cond_or_uncond"]
            if 0 not in sides:
                return out
            first = sides.index(0) * len(query) // len(sides)
            away = (side.expand(len(query) - first, -1, -1) for side in (away_key, away_value))
            pushed = optimized_attention(query[first:], *away, extra["n_heads"])
            return torch.cat([out[:first], out[first:] + 0.5 * (out[first:] - pushed)])

        return attend

    network = model.model.diffusion_model
    for part, number, index in attention_blocks(model):
        block = network.middle_block if part == "middle" else getattr(network, f"{part}_blocks")[number]
        layers = next(layer.transformer_blocks for layer in block if hasattr(layer, "transformer_blocks"))
        model.set_model_attn2_replace(replacement(layers[index].attn2), part, number, index)
    return model


def tiles(model: ModelPatcher, size: int, at_once: int) -> ModelPatcher:
    """Predicts squares of the latent, some in each network call, tile after tile, and takes the mean where they overlap."""
    model = model.clone()

    def wrap(apply_model: Callable, call: dict[str, Any]) -> Tensor:
        x, timestep, c = call["input"], call["timestep"], call["c"]
        corners = [
            (top, left) for top in range(0, x.shape[-2] - size + 1, size // 2) for left in range(0, x.shape[-1] - size + 1, size // 2)
        ]
        total, count = torch.zeros_like(x), torch.zeros_like(x)
        for start in range(0, len(corners), at_once):
            places = [(..., slice(top, top + size), slice(left, left + size)) for top, left in corners[start : start + at_once]]
            repeated = {key: value.repeat(len(places), *[1] * (value.ndim - 1)) for key, value in c.items() if isinstance(value, Tensor)}
            out = apply_model(torch.cat([x[place] for place in places]), timestep.repeat(len(places)), **(c | repeated))
            for place, tile in zip(places, out.chunk(len(places)), strict=True):
                total[place] += tile
                count[place] += 1
        return total / count

    model.set_model_unet_function_wrapper(wrap)
    return model


def noisy_texts(model: ModelPatcher) -> ModelPatcher:
    """Draws noise into every text, one after the other, through the hook that a guider calls for its predictions."""
    import comfy.samplers

    def ask(inputs: dict[str, Any]) -> list[Tensor]:
        conds = [entries and [_with_noise(entry) for entry in entries] for entries in inputs["conds"]]
        return comfy.samplers.calc_cond_batch(inputs["model"], conds, inputs["input"], inputs["sigma"], inputs["model_options"])

    model = model.clone()
    model.set_model_sampler_calc_cond_batch_function(ask)
    return model


def _with_noise(entry: dict[str, Any]) -> dict[str, Any]:
    text = entry["model_conds"]["c_crossattn"]
    return entry | {"model_conds": entry["model_conds"] | {"c_crossattn": text._copy_with(text.cond + 0.2 * torch.randn_like(text.cond))}}


def momentum(model: ModelPatcher) -> ModelPatcher:
    """A post-CFG function that keeps a running mean in the options of a run."""
    model = model.clone()

    def guide(inputs: dict[str, Any]) -> Tensor:
        state = inputs["model_options"].setdefault("momentum for tests", {})
        mean = state.get("mean", inputs["denoised"])
        state["mean"] = 0.5 * mean + 0.5 * inputs["denoised"]
        return inputs["denoised"] + 0.5 * (inputs["denoised"] - mean)

    model.set_model_sampler_post_cfg_function(guide)
    return model


def control(model: ModelPatcher) -> ModelPatcher:
    """A CFG function that puts a new value into the options at every step."""
    model = model.clone()

    def guide(inputs: dict[str, Any]) -> Tensor:
        error = inputs["cond_denoised"] - inputs["uncond_denoised"]
        inputs["model_options"]["error for tests"], error = error, error + 0.3 * inputs["model_options"].get("error for tests", error)
        return inputs["input"] - (inputs["uncond_denoised"] + inputs["cond_scale"] * error)

    model.set_model_sampler_cfg_function(guide)
    return model


def written_in_place(model: ModelPatcher) -> ModelPatcher:
    """A pre-CFG function that changes the predictions that it is given."""
    model = model.clone()

    def change(inputs: dict[str, Any]) -> list[Tensor]:
        for out in inputs["conds_out"]:
            out[out > 0] *= 0.8
        return inputs["conds_out"]

    model.set_model_sampler_pre_cfg_function(change)
    return model


class BlockCache:
    """What puts a cached prediction in place of a network call."""

    @staticmethod
    def on(model: ModelPatcher) -> ModelPatcher:
        model = model.clone()

        def wrap(apply_model: Callable, call: dict[str, Any]) -> Tensor:
            return apply_model(call["input"], call["timestep"], **call["c"])

        model.set_model_unet_function_wrapper(wrap)
        return model
