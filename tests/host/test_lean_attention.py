"""On the processor the pack's runs take torch's attention in place of ComfyUI's default, and nothing that somebody chose."""

import sys

from scripts.host.in_comfy import nodes, pack, run

import comfy.cli_args
import comfy.ldm.modules.attention as attention
import pytest
import torch

OVERRIDE = "optimized_attention_override"


@pytest.fixture
def chosen(model, latent, encode, monkeypatch):
    """Which of ComfyUI's attentions an inversion's step ran with."""
    nodes()  # the pack is there before anything is watched
    asked = []
    for name in ("attention_sub_quad", "attention_pytorch", "attention_split"):

        def watched(*arguments, name=name, real=getattr(attention, name), **options):
            asked.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(attention, name, watched)

    def look(patched=model):
        run("LEDITS_Invert", model=patched, latent=latent, sigmas=torch.tensor([1.0, 0.0]), negative=encode(""))
        return set(asked)

    return look


def test_torchs_attention_takes_the_place_of_the_default(chosen):
    assert chosen() == {"attention_pytorch"}


def test_the_result_is_the_same_up_to_rounding(model, latent, sigmas, encode):
    def inverted(patched):
        return run("LEDITS_Invert", model=patched, latent=latent, sigmas=sigmas, negative=encode(""))[0].trajectory.denoised

    own = model.clone()
    own.model_options["transformer_options"][OVERRIDE] = lambda function, *arguments, **options: function(*arguments, **options)
    lean, default = inverted(model), inverted(own)
    assert not torch.equal(lean, default)
    assert (lean - default).abs().max() < 1e-4


def test_another_packs_choice_stays(model, chosen):
    other = model.clone()
    seen = []

    def override(function, *arguments, **options):
        seen.append(function.__name__)
        return function(*arguments, **options)

    other.model_options["transformer_options"][OVERRIDE] = override
    assert chosen(other) == set()  # ComfyUI calls its default without the name that is watched
    assert set(seen) == {"attention_sub_quad"}


def test_a_users_choice_stays(chosen, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "use_quad_cross_attention", True)
    assert chosen() == set()


@pytest.mark.parametrize(
    ("dtype", "masked", "taken"),
    [(torch.float32, False, True), (torch.float32, True, False), (torch.bfloat16, False, False), (torch.float16, False, False)],
)
def test_only_float32_without_a_mask(chosen, dtype, masked, taken):
    lean = sys.modules[f"{pack().__name__}.nodes.comfyui.attention"].with_lean_attention({})["transformer_options"][OVERRIDE]
    query = torch.randn(1, 6, 8).to(dtype)
    mask = torch.zeros(6, 6, dtype=dtype) if masked else None
    default = attention.optimized_attention.__wrapped__
    known = default(query, query, query, 2, mask=mask)
    found = lean(default, query, query, query, 2, mask, _inside_attn_wrapper=True)
    assert torch.equal(found, known) != taken
    assert torch.allclose(found, known, atol=1e-5)


def test_nothing_is_left_on_the_model(model, chosen):
    chosen()
    assert OVERRIDE not in model.model_options["transformer_options"]
