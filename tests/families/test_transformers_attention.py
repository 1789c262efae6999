"""Where words look, in every family of image transformers: against the probabilities that its own queries and keys give in float64."""

from __future__ import annotations

import functools
import importlib
import math
import sys
from dataclasses import dataclass, replace
from typing import Any

from scripts.host.in_comfy import pack

import comfy.samplers
import pytest
import torch
from torch import Tensor

from support.transformers import TRANSFORMERS, Conditioning, Transformer, apart, ask_in_sampling, noise

OVERRIDE = "optimized_attention_override"
WITHOUT_OPTIONS = {
    "PixArt-alpha": "comfy.ldm.pixart.blocks",
    "PixArt-Sigma": "comfy.ldm.pixart.blocks",
    "Hunyuan-DiT": "comfy.ldm.hydit.attn_layers",
    "Ernie-Image": "comfy.ldm.ernie.model",
}
"""Modules whose attention is given no transformer_options, so that no override of another node is asked."""

REFERENCES = [
    *((name, None) for name in ("Flux.1 dev", "Flux.2", "LongCat-Image", "Qwen-Image", "OmniGen 2", "Boogu", "JoyImage", "Mage-Flow")),
    *((name, "index") for name in ("Flux.1 dev", "Flux.2", "Qwen-Image", "Krea 2")),
    *((name, "index_timestep_zero") for name in ("Flux.2", "Qwen-Image", "Krea 2")),
    *((name, None) for name in ("Krea 2", "Chroma")),  # are given them and ignore them
]
"""Families that take images to refer to, and how they number them."""

every_family = pytest.mark.parametrize("name", [name for name, family in TRANSFORMERS.items() if family.is_there])


def part(name: str) -> Any:
    return importlib.import_module(f"{pack().__name__}.{name}")


@dataclass(frozen=True)
class Attention:
    """One call of ComfyUI's attention function, [B, heads, tokens, d] float64."""

    query: Tensor
    key: Tensor
    scale: float
    mask: Tensor | None

    @property
    def probabilities(self) -> Tensor:
        scores = self.query @ self.key.repeat_interleave(self.query.shape[1] // self.key.shape[1], 1).mT * self.scale
        if self.mask is not None:
            mask = self.mask[:, None] if self.mask.ndim == 3 else self.mask
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()
        return scores.softmax(-1)


class Spy:
    """Keeps all attention that goes by, and computes it as before."""

    def __init__(self) -> None:
        self.calls: list[Attention] = []

    def __call__(self, attention: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **settings: Any) -> Tensor:
        heads = rest[0] if rest else settings["heads"]
        mask = rest[1] if len(rest) > 1 else settings.get("mask")
        q = query if settings.get("skip_reshape") else query.unflatten(-1, (heads, -1)).transpose(1, 2)
        k = key if settings.get("skip_reshape") else key.unflatten(-1, (-1, q.shape[-1])).transpose(1, 2)
        self.calls.append(Attention(q.double(), k.double(), settings.get("scale") or q.shape[-1] ** -0.5, mask))
        return attention(query, key, value, *rest, **settings)


@functools.cache
def model_of(name: str) -> Any:
    """With the patches that the pack puts on a clone before it samples."""
    model = TRANSFORMERS[name].model()
    part("nodes.comfyui.attention.adapters").prepare_recording(model)
    return model


def make_recorder(name: str, x: Tensor, blocks: tuple[int, ...]) -> Any:
    network = model_of(name).get_model_object("diffusion_model")
    settings = part("ledits.attention").StoreSettings(blocks=blocks)
    adapter = part("nodes.comfyui.attention.adapters").make_adapter(network, settings, *x.shape[-2:])
    return part("nodes.comfyui.attention.recorder").Recorder(adapter, lambda key: True)


def predict(name: str, prompts: dict[str, Conditioning], x: Tensor, *recorders: Any, override: Any = None) -> dict[str, Tensor]:
    """The network's predictions, by prompt. An override stands for another node's."""

    def ask(guider: Any, sigma: Tensor, options: dict) -> list[Tensor]:
        if override is not None:
            options = options | {"transformer_options": options["transformer_options"] | {OVERRIDE: override}}
        options = part("nodes.comfyui.attention.recorder").tracked_options(options, lambda: guider.conds, {}, *recorders)
        return comfy.samplers.calc_cond_batch(guider.inner_model, list(guider.conds.values()), x, sigma.expand(len(x)), options)

    return dict(zip(prompts, ask_in_sampling(model_of(name), prompts, x, ask), strict=True))


def maps_of(recorder: Any) -> dict[str, Tensor]:
    return {key[0]: recorder.maps(key, torch.device("cpu")) for key in recorder.sums}


@pytest.fixture
def watch(monkeypatch):
    """Predicts for one prompt, and gives the attention between image and text, block by block."""

    def run(name: str, prompt: Conditioning, x: Tensor, tokens: int, *recorders: Any) -> list[Attention]:
        family, spy = TRANSFORMERS[name], Spy()
        if name in WITHOUT_OPTIONS:
            module = sys.modules[WITHOUT_OPTIONS[name]]
            monkeypatch.setattr(module, "optimized_attention", functools.partial(spy, module.optimized_attention))
        predict(name, {"prompt": prompt}, x, *recorders, override=None if name in WITHOUT_OPTIONS else spy)
        monkeypatch.undo()
        most = max(call.key.shape[2] for call in spy.calls)
        lengths = (image_tokens(family, x), family.columns(tokens)) if family.starts is apart else (None, most)
        return [
            call for call in spy.calls if call.query.shape[2] == (lengths[0] or call.query.shape[2]) and call.key.shape[2] == lengths[1]
        ]

    return run


def image_tokens(family: Transformer, x: Tensor) -> int:
    return math.ceil(x.shape[-2] / family.patch) * math.ceil(x.shape[-1] / family.patch)


def expected(family: Transformer, calls: list[Attention], x: Tensor, tokens: int) -> Tensor:
    """The mean over these calls and all heads, at the text's columns and the image's tokens: [B, h, w, columns] float64."""
    image, columns = image_tokens(family, x), family.columns(tokens)
    text, first = family.starts(columns, image)
    mean = torch.stack([call.probabilities.mean(1)[:, first : first + image] for call in calls]).mean(0)
    found = mean[..., text : text + columns].clone()
    if family.is_held_twice:
        found[..., -tokens:] += mean[..., text + columns : text + columns + tokens]
    return found.unflatten(1, (math.ceil(x.shape[-2] / family.patch), -1))


@every_family
def test_maps_are_the_networks_own_probabilities(name, watch):
    """A batch of two images at an odd size; the first and the last block."""
    family = TRANSFORMERS[name]
    x = family.latent(*family.size, batch=2)
    recorder = make_recorder(name, x, (0, family.blocks - 1))
    calls = watch(name, family.prompt(1), x, 9, recorder)
    assert len(calls) == family.blocks
    found, wanted = maps_of(recorder)["prompt"], expected(family, [calls[0], calls[-1]], x, 9)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 2e-6
    assert found.std() > 1e-5


@every_family
def test_recording_changes_no_bit_and_tells_the_prompts_apart(name):
    """Three prompts, two of one length: ComfyUI puts those into one call, and asks the other alone."""
    family = TRANSFORMERS[name]
    x = family.latent(*family.size, batch=2)
    prompts = {"one": family.prompt(1), "other": family.prompt(2), "shorter": family.prompt(3, 7)}
    recorder = make_recorder(name, x, ())
    plain, recorded = predict(name, prompts, x), predict(name, prompts, x, recorder)
    assert all(torch.equal(recorded[key], plain[key]) for key in prompts)
    together = maps_of(recorder)
    assert set(together) == set(prompts)
    for key, prompt in prompts.items():
        recorder = make_recorder(name, x, ())
        predict(name, {key: prompt}, x, recorder)
        assert torch.allclose(maps_of(recorder)[key], together[key], atol=1e-4)
    assert not torch.allclose(together["one"], together["other"], atol=1e-4)


@every_family
def test_text_and_image_are_where_they_are_said_to_be(name, watch):
    """Another column of the encoding moves its own key and no other, another patch of the image its own query; or, where tokens were mixed
    before, only those of text or image."""
    family = TRANSFORMERS[name]
    x = family.latent(*family.size)
    image, columns, column, token = image_tokens(family, x), family.columns(9), 5, 7
    text, first = family.starts(columns, image)
    prompt = family.prompt(1)
    before = watch(name, prompt, x, 9)[0]

    other = [[prompt[0][0].clone(), {key: value.clone() if isinstance(value, Tensor) else value for key, value in prompt[0][1].items()}]]
    encoding, options = other[0]
    if "text_input_ids" in options:
        options["text_input_ids"][0, column] += 1
    elif "t5xxl_ids" in options:
        options["t5xxl_ids"][column] += 1
    else:
        encoding[0, column] += noise(11, encoding.shape[-1])
    moved = (watch(name, other, x, 9)[0].key - before.key).abs().amax((0, 1, 3)).gt(1e-6).nonzero().flatten().tolist()
    if family.mixes_text:
        assert text + column in moved
        assert set(moved) <= set(range(text, first if first > text else text + columns))
    else:
        assert moved == [text + column]

    row, place = divmod(token, math.ceil(x.shape[-1] / family.patch))
    changed = x.clone()
    changed[..., row * family.patch : (row + 1) * family.patch, place * family.patch : (place + 1) * family.patch] += 1
    moved = (watch(name, prompt, changed, 9)[0].query - before.query).abs().amax((0, 1, 3)).gt(1e-6).nonzero().flatten().tolist()
    if family.mixes_text or family.starts is apart or name == "Stable Cascade":
        assert first + token in moved
        assert family.starts is apart or not set(moved) & set(range(text, text + columns))
    else:
        assert moved == [first + token]


@pytest.mark.parametrize("name", [name for name, family in TRANSFORMERS.items() if family.is_there and name not in WITHOUT_OPTIONS])
def test_what_another_node_puts_in_place_of_attention_is_called_through(name):
    family = TRANSFORMERS[name]
    x, prompts = family.latent(*family.size), {"prompt": family.prompt(1)}
    calls = []

    def louder(attention: Any, *arguments: Any, **settings: Any) -> Tensor:
        calls.append(arguments)
        return attention(*arguments, **settings) * 1.5

    wanted = predict(name, prompts, x, override=louder)["prompt"]
    count = len(calls)
    assert count
    recorder = make_recorder(name, x, ())
    assert torch.equal(predict(name, prompts, x, recorder, override=louder)["prompt"], wanted)
    assert len(calls) == 2 * count
    assert recorder.sums
    assert not torch.equal(predict(name, prompts, x)["prompt"], wanted)


@pytest.mark.parametrize("name", [name for name, family in TRANSFORMERS.items() if family.is_there and family.starts is apart])
def test_as_many_words_as_image_tokens(name):
    """Then self-attention looks like attention to the text."""
    family = TRANSFORMERS[name]
    if family.columns(9) != 9:
        pytest.skip("its texts are always of one length")
    x = family.latent(*family.size)
    tokens = image_tokens(family, x)
    spy, recorder = Spy(), make_recorder(name, x, (0, 2))
    predict(name, {"prompt": family.prompt(1, tokens)}, x, recorder, override=None if name in WITHOUT_OPTIONS else spy)
    found = maps_of(recorder)["prompt"]
    assert found.sum(-1) == pytest.approx(1.0)
    if name not in WITHOUT_OPTIONS:
        cross = [call for call in spy.calls if call.key.shape[2] == tokens][-6:][1::2]
        assert (found - expected(family, [cross[0], cross[2]], x, tokens)).abs().max() < 2e-6


def test_glyphs_that_stand_before_the_text_come_after_it_in_the_maps(watch, monkeypatch):
    """As Hunyuan-Video 1.5 has them; Hunyuan-Image has both the other way round."""
    image = TRANSFORMERS["Hunyuan-Image 2.1"]
    family = replace(image, config=image.config | {"use_cond_type_embedding": True})
    monkeypatch.setitem(TRANSFORMERS, "glyphs first", family)
    x = family.latent(*family.size)
    recorder = make_recorder("glyphs first", x, (0,))
    call = watch("glyphs first", family.prompt(1), x, 9, recorder)[0]
    known = call.probabilities.mean(1)[:, 15:, :15].roll(-6, -1)
    assert (maps_of(recorder)["prompt"].flatten(1, 2) - known).abs().max() < 2e-6


@pytest.mark.parametrize(("name", "method"), [(name, method) for name, method in REFERENCES if TRANSFORMERS[name].is_there])
def test_reference_images_are_no_part_of_the_maps(name, method, watch):
    """Two of them, one smaller. They take their share of the attention, but neither words nor pixels of the map are theirs."""
    family = TRANSFORMERS[name]
    x = family.latent(*family.size)
    image, text = image_tokens(family, x), family.columns(9)
    references = [family.latent(*family.size, seed=5), family.latent(2 * family.patch, 2 * family.patch, seed=6)]
    prompt = family.prompt(1)
    prompt[0][1].update({"reference_latents": references} | ({"reference_latents_method": method} if method else {}))
    recorder = make_recorder(name, x, (0, family.blocks - 1))
    calls = watch(name, prompt, x, 9, recorder)
    assert len(calls) == family.blocks
    start, first = family.starts(text, image)
    between = image + 4  # tokens of both
    start, first = start + between * (name == "JoyImage"), first + between * (name in ("OmniGen 2", "Boogu"))
    means = torch.stack([call.probabilities.mean(1) for call in (calls[0], calls[-1])]).mean(0)
    found = maps_of(recorder)["prompt"].flatten(1, 2)
    assert (found - means[:, first : first + image, start : start + text]).abs().max() < 2e-6

    changed = x.clone()
    changed[..., : family.patch, : family.patch] += 1
    moved = (watch(name, prompt, changed, 9)[0].query - calls[0].query).abs().amax((0, 1, 3)).gt(1e-6).nonzero().flatten().tolist()
    assert first in moved
    assert set(moved) <= set(range(first, first + image))


@pytest.mark.parametrize("name", ["Z-Image"])
def test_reference_images_of_z_image_are_refused(name):
    family = TRANSFORMERS[name]
    x, prompt = family.latent(*family.size), family.prompt(1)
    prompt[0][1]["reference_latents"] = [x]
    with pytest.raises(ValueError, match=r"input 'model': has reference images .*'noise'"):
        predict(name, {"prompt": prompt}, x, make_recorder(name, x, ()))
