"""A network of another kind is recorded through one adapter and a line in a list: here a small Flux, as if nobody knew it."""

import importlib
import math
from contextlib import contextmanager

from scripts.host.in_comfy import pack, run
from scripts.host.networks import randomise

import comfy.model_patcher
import comfy.supported_models
import pytest
import torch

FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 48, "hidden_size": 64,
    "mlp_ratio": 4.0, "num_heads": 4, "depth": 2, "depth_single_blocks": 2, "axes_dim": [4, 6, 6], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": False, "txt_ids_dims": [],
}  # fmt: skip
TOKENS = 9


class JointAdapter:
    """Text and image tokens in one sequence, text first; patches of two latent pixels."""

    patched_layers = ""

    def __init__(self, network, settings, height, width):
        pass

    @staticmethod
    def supports(network):
        return type(network).__name__ == "Flux"

    @staticmethod
    def encoding_width(config):
        return config["context_in_dim"]

    def map_size(self, height, width):
        return math.ceil(height / 2), math.ceil(width / 2)

    @contextmanager
    def hook(self, network, options, call):
        def override(attention, query, key, value, heads, *arguments, **settings):
            pixels = call.size[0] * call.size[1]
            text = query.shape[-2] - pixels
            call.add_layer(self._rows(query)[:, text:], self._rows(key)[:, :text], heads)
            return attention(query, key, value, heads, *arguments, **settings)

        yield options | {"optimized_attention_override": override}

    def _rows(self, tokens):
        """[B, heads, tokens, d] to [B, tokens, heads * d]."""
        return tokens.movedim(1, 2).flatten(2)


@pytest.fixture
def part():
    return lambda name: importlib.import_module(f"{pack().__name__}.{name}")


@pytest.fixture(scope="module")
def flux():
    class Family(comfy.supported_models.FluxSchnell):
        unet_extra_config = {}

    config = Family(dict(FLUX))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    randomise(model.diffusion_model, 0)
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def encoded(seed):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, TOKENS, 48, generator=generator), {"pooled_output": torch.randn(1, 24, generator=generator)}]]


def concept_of(part, mask_mode, threshold=0.9):
    settings = part("ledits.guidance").EditSettings(scale=2.0, threshold=threshold, mask_mode=mask_mode, warmup=1)
    prompt = part("ledits.prompt").Prompt("a red circle", ("a", "red", "circle"), ((0,), (1,), (2, 3)), TOKENS)
    return (part("nodes.comfyui.types").Concept(settings, prompt, (1, 2), encoded(3)),)


def test_without_an_adapter_attention_is_refused_and_the_rest_works(flux, part, monkeypatch):
    adapters = part("nodes.comfyui.attention.adapters")
    monkeypatch.setattr(adapters, "ADAPTERS", [adapters.UNetAdapter])
    latent = {"samples": torch.randn(1, 16, 9, 12, generator=torch.Generator().manual_seed(0))}
    sigmas = run("LEDITS_Schedule", model=flux, steps=3, skip=0.1)[0]
    inversion = run("LEDITS_Invert", model=flux, latent=latent, sigmas=sigmas, negative=encoded(1))[0]
    with pytest.raises(ValueError, match=r"^LEDITS\+\+ Edit, input 'model': .*Flux.*'noise'"):
        run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concept_of(part, "attention"))
    replayed = run("LEDITS_Edit", model=flux, inversion=inversion)[0]["samples"]
    assert (replayed - latent["samples"]).abs().max() < 1e-5
    edited = run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concept_of(part, "noise"))[0]["samples"]
    assert (edited - latent["samples"]).abs().max() > 1e-3


def test_one_adapter_in_the_list_is_all_it_takes(flux, part, monkeypatch):
    monkeypatch.setattr(part("nodes.comfyui.attention.adapters"), "ADAPTERS", [JointAdapter])
    latent = {"samples": torch.randn(1, 16, 9, 12, generator=torch.Generator().manual_seed(0))}
    sigmas = run("LEDITS_Schedule", model=flux, steps=3, skip=0.1)[0]
    inversion = run("LEDITS_Invert", model=flux, latent=latent, sigmas=sigmas, negative=encoded(1))[0]
    inputs = {"model": flux, "inversion": inversion, "concepts": concept_of(part, "attention")}
    edited, attention, mask, _ = run("LEDITS_Edit", **inputs, masks="last step")
    maps = attention.prompts[0]
    assert maps.steps == 2
    assert maps.mean().shape == (1, 5, 6, 3)
    # Four of nine tokens are words.
    assert ((maps.mean() >= 0) & (maps.mean().sum(-1, keepdim=True) < 1)).all()
    assert maps.mean().std() > 1e-4
    assert mask.unique().tolist() == [0, 1]
    assert (edited["samples"] - latent["samples"]).abs().max() > 1e-3


def test_recording_changes_no_prediction(flux, part, monkeypatch):
    latent = {"samples": torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))}
    sigmas = run("LEDITS_Schedule", model=flux, steps=2, skip=0.1)[0]
    inversion = run("LEDITS_Invert", model=flux, latent=latent, sigmas=sigmas, negative=encoded(1))[0]
    plain = run("LEDITS_Edit", model=flux, inversion=inversion, concepts=concept_of(part, "none"))[0]["samples"]
    everywhere = concept_of(part, "attention", threshold=1e-9)
    assert torch.equal(run("LEDITS_Edit", model=flux, inversion=inversion, concepts=everywhere)[0]["samples"], plain)
